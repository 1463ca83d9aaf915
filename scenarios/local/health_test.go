package local

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestHealthTellsTheWayOfAPod(t *testing.T) {
	t.Parallel()
	const second = spec.Duration(time.Second)
	s := &spec.Scenario{Pods: []spec.Group{
		{Name: "b", Count: 1},
		{Name: "a", Count: 1, Probes: spec.Probes{Liveness: &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 3}}},
	}}
	h := newHealth(s, []record.Pod{{Name: "b", UID: "2"}, {Name: "a", UID: "1"}})
	url, silence, err := h.serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	steps := []func(){
		func() { h.begins("1") },
		func() { h.passes("1") },
		func() { h.happens("1", record.Started) },
		func() { h.happens("1", record.Ready) },
		func() { h.happens("1", record.Unready) },
		func() { h.happens("1", record.Stopped); h.happens("1", record.Started); silence() },
	}
	var got []string
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	err = healthapi.NewClient(url, &http.Client{Transport: transport}).Watch(t.Context(), func(e healthapi.Event) {
		switch {
		case e.Node != nil:
			for _, p := range e.Node.Pods {
				got = append(got, fmt.Sprintf("%s %s", p.Name, p.Patience()))
			}
		case e.Pod != nil:
			p := e.Pod
			word := string(p.State)
			if !p.Guarded || p.UID != "1" {
				word = "?"
			}
			if !p.WaitsSince.IsZero() {
				word += " waited"
			}
			if !p.Passed.IsZero() && p.Passed.Nanosecond() == 0 {
				word += " passed"
			}
			if !p.ReadyAt.IsZero() {
				word += " since"
			}
			got = append(got, word)
		default:
			return
		}
		steps[0]() // one after the other, each when the one before was heard of
		steps = steps[1:]
	})
	want := []string{
		"a 20s", "b 0s", "waiting waited", "starting waited passed", "started waited passed",
		"ready waited passed since", "ready waited passed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q\n(%v)", got, want, err)
	}
}
