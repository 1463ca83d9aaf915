// The chart's schema and its values: that neither knows a value that the other does not, and that each is explained.

package install

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is what of JSON Schema the test looks at.
type schema struct {
	Ref         string `json:"$ref"`
	Properties  map[string]*schema
	Definitions map[string]*schema
	Patterns    map[string]*schema `json:"patternProperties"`
	Items       *schema
	AnyOf       []*schema
	Additional  any `json:"additionalProperties"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chartPath, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	root := &schema{}
	if err := json.Unmarshal(content, root); err != nil {
		t.Fatal(err)
	}
	return root
}

func (s *schema) resolve(root *schema) *schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		return root.Definitions[name]
	}
	return s
}

// readNodes reads a file of the chart in its own order: of YAML, or of JSON, which is YAML too.
func readNodes(t *testing.T, name string) (root *yaml.Node, content string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartPath, name))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return document.Content[0], string(text)
}

func TestSchemaAndValuesKnowTheSame(t *testing.T) {
	t.Parallel()
	values, _ := readNodes(t, "values.yaml")
	root := readSchema(t)
	// A parent chart's, and what "on" is in YAML 1.1.
	unlisted := []string{"global", "release.true"}
	compared := 0
	var compare func(path string, values *yaml.Node, s *schema, explained bool)
	compare = func(path string, values *yaml.Node, s *schema, explained bool) {
		s = s.resolve(root)
		if values.Kind != yaml.MappingNode || s == nil || s.Properties == nil {
			if !explained {
				t.Errorf("%s has no comment that begins with --", path)
			}
			return
		}
		missing := maps.Clone(s.Properties)
		for i := 0; i < len(values.Content); i += 2 {
			key, value := values.Content[i], values.Content[i+1]
			child := strings.TrimPrefix(path+"."+key.Value, ".")
			compared++
			property := s.Properties[key.Value]
			if property == nil {
				t.Errorf("%s is not in the schema", child)
				continue
			}
			delete(missing, key.Value)
			compare(child, value, property, explained || strings.Contains(key.HeadComment, "# -- "))
		}
		// A value with one comment for all that is in it lists what it has, not what it could have.
		for name := range missing {
			if child := strings.TrimPrefix(path+"."+name, "."); !explained && !slices.Contains(unlisted, child) {
				t.Errorf("%s is in the schema, and values.yaml does not tell of it", child)
			}
		}
	}
	compare("", values, root, false)
	if compared < 50 {
		t.Errorf("only %d values compared", compared)
	}
}

// A misspelt value is refused wherever it is, not taken for granted.
func TestSchemaIsClosed(t *testing.T) {
	t.Parallel()
	closed := 0
	var check func(path string, s *schema)
	check = func(path string, s *schema) {
		if s == nil {
			return
		}
		if s.Properties != nil || s.Patterns != nil {
			closed++
			if s.Additional != false {
				t.Errorf("%s takes any property", path)
			}
		}
		for _, children := range []map[string]*schema{s.Properties, s.Definitions, s.Patterns} {
			for name, child := range children {
				check(path+"/"+name, child)
			}
		}
		for _, child := range append(s.AnyOf, s.Items) {
			check(path, child)
		}
	}
	check("", readSchema(t))
	if closed < 10 {
		t.Errorf("only %d objects looked at", closed)
	}
}

// The schema describes a value in the words of values.yaml: an editor shows them. With -update they are written anew.
func TestSchemaDescribesAsTheValuesDo(t *testing.T) {
	values, _ := readNodes(t, "values.yaml")
	root, content := readNodes(t, "values.schema.json")
	var describe func(values, s *yaml.Node)
	describe = func(values, s *yaml.Node) {
		properties := field(s, "properties")
		if values.Kind != yaml.MappingNode || properties == nil {
			return
		}
		for i := 0; i < len(values.Content); i += 2 {
			property := field(properties, values.Content[i].Value)
			if property == nil {
				continue // the test above tells
			}
			if _, text, found := strings.Cut(values.Content[i].HeadComment, "# -- "); found {
				text, _, _ = strings.Cut(text, "\n# @default")
				setDescription(property, strings.ReplaceAll(text, "\n# ", " "))
			}
			describe(values.Content[i+1], property)
		}
	}
	describe(values, root)
	want := asJSON(t, root)
	if string(want) == content {
		return
	}
	if !*update {
		t.Fatal("values.schema.json describes the values otherwise than values.yaml: go test ./e2e/install -run Schema -update")
	}
	if err := os.WriteFile(filepath.Join(chartPath, "values.schema.json"), want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// field is the value of a mapping's key; nil without one.
func field(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Kind == yaml.MappingNode && mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func setDescription(s *yaml.Node, text string) {
	if d := field(s, "description"); d != nil {
		d.Value = text
		return
	}
	str := func(value string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: value}
	}
	s.Content = append([]*yaml.Node{str("description"), str(text)}, s.Content...)
}

// asJSON is what was read from JSON, in the order that it has there.
func asJSON(t *testing.T, node *yaml.Node) []byte {
	t.Helper()
	var compact, indented bytes.Buffer
	strs := json.NewEncoder(&compact)
	strs.SetEscapeHTML(false)
	var write func(node *yaml.Node)
	write = func(node *yaml.Node) {
		switch {
		case node.Kind != yaml.ScalarNode:
			open, shut := "[", "]"
			if node.Kind == yaml.MappingNode {
				open, shut = "{", "}"
			}
			compact.WriteString(open)
			for i, child := range node.Content {
				switch {
				case i == 0:
				case node.Kind == yaml.MappingNode && i%2 == 1:
					compact.WriteString(":")
				default:
					compact.WriteString(",")
				}
				write(child)
			}
			compact.WriteString(shut)
		case node.Style == yaml.DoubleQuotedStyle:
			if err := strs.Encode(node.Value); err != nil {
				t.Fatal(err)
			}
		default: // a number, true, false or null
			compact.WriteString(node.Value)
		}
	}
	write(node)
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteString("\n")
	return indented.Bytes()
}
