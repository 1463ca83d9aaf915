// result.go is the file in which runs are kept, complete enough to render every report anew.

package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// File is the name of the result within its folder.
const File = "result.json"

// version is of the layout; a reader refuses what it does not know.
const version = 1

// Result is a scenario with all its runs in one place.
type Result struct {
	Version  int            `json:"version"`
	Made     time.Time      `json:"made"`
	On       string         `json:"on"`
	Scenario *spec.Scenario `json:"scenario"`
	Machine  Machine        `json:"machine"`
	Bound    *Bound         `json:"bound,omitempty"`
	Outcomes []Outcome      `json:"outcomes"`
}

// Outcome is a run with what follows from it.
type Outcome struct {
	Summary Summary `json:"summary"`
	Checks  []Check `json:"checks,omitempty"`
	Run     *Run    `json:"run"`
}

// Add derives and keeps the outcome of a run.
func (r *Result) Add(run *Run) *Outcome {
	s := Summarize(run, r.Bound)
	r.Outcomes = append(r.Outcomes, Outcome{Run: run, Summary: s, Checks: Judge(run.Policy, r.On, s)})
	return &r.Outcomes[len(r.Outcomes)-1]
}

// Broken are the expectations that do not hold.
func (o *Outcome) Broken() []Check {
	var broken []Check
	for _, c := range o.Checks {
		if !c.Holds {
			broken = append(broken, c)
		}
	}
	return broken
}

// Write keeps the result in a folder, which it makes.
func (r *Result) Write(dir string) error {
	r.Version = version
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder for the result: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, File), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// Read reads the result in a folder. Summaries and checks are derived anew, so
// that an old result and a new rule give a new verdict.
func Read(dir string) (*Result, error) {
	path := filepath.Join(dir, File)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	var r Result
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&r); err != nil {
		return nil, fmt.Errorf("read result %s: %w", path, err)
	}
	if r.Version != version || r.Scenario == nil {
		return nil, fmt.Errorf("read result %s: layout %d, want %d: run the scenario again", path, r.Version, version)
	}
	outcomes := r.Outcomes
	r.Outcomes = nil
	for _, o := range outcomes {
		if o.Run == nil {
			return nil, fmt.Errorf("read result %s: an outcome without its run", path)
		}
		r.Add(o.Run)
	}
	return &r, nil
}
