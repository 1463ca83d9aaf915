// The chart's schema and its values: that neither knows a value that the other does not, and that each is explained.

package install

import (
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

func TestSchemaAndValuesKnowTheSame(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(chartPath, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
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
	compare("", document.Content[0], root, false)
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
