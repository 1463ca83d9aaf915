// Package reference keeps the table of a binary's metrics in its docs. Only
// tests import it: they fail when the table is out of date.
package reference

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrOutOfDate says that the docs have another table.
var ErrOutOfDate = errors.New("the table of metrics is out of date: run this test with -update")

// Check compares the table in the file at path, between the lines <!-- section -->
// and <!-- /section -->, with what reg has now: ErrOutOfDate when they differ.
// With update it writes the table instead; not safe for concurrent use then.
func Check(path, section string, reg *prometheus.Registry, update bool) error {
	is, err := table(reg)
	if err != nil {
		return err
	}
	docs, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the table of metrics: %w", err)
	}
	before, rest, begins := strings.Cut(string(docs), "<!-- "+section+" -->\n")
	was, after, ends := strings.Cut(rest, "<!-- /"+section+" -->\n")
	switch {
	case !begins || !ends:
		return fmt.Errorf("read the table of metrics: %s has no section %s", path, section)
	case was == is:
		return nil
	case !update:
		return ErrOutOfDate
	}
	whole := before + "<!-- " + section + " -->\n" + is + "<!-- /" + section + " -->\n" + after
	if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
		return fmt.Errorf("write the table of metrics: %w", err)
	}
	return nil
}

// table has the metrics of reg in Markdown, by name. A metric that has no value
// yet cannot be described, and is an error.
func table(reg *prometheus.Registry) (string, error) {
	families, err := reg.Gather()
	if err != nil {
		return "", fmt.Errorf("gather metrics: %w", err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	var names []string
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
		names = append(names, f.GetName())
	}
	for _, name := range described(reg) {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("describe metrics: %s has no value yet", name)
		}
	}
	return b.String(), nil
}

// described are the names of all that is registered with reg.
func described(reg *prometheus.Registry) []string {
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		reg.Describe(all)
	}()
	var names []string
	for d := range all { // Desc{fqName: "name", help: …
		if parts := strings.SplitN(d.String(), `"`, 3); len(parts) == 3 {
			names = append(names, parts[1])
		}
	}
	return names
}
