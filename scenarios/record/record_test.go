package record_test

import (
	"cmp"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// pod makes a pod from events in short: pod("claimed", 0, "granted", 1).
func pod(events ...any) record.Pod {
	p := record.Pod{Name: "p"}
	for i := 0; i < len(events); i += 2 {
		p.Events = append(p.Events, record.Event{What: record.What(events[i].(string)), At: float64(events[i+1].(int))})
	}
	return p
}

func faulty(p record.Pod) record.Pod {
	p.Fault = spec.NeverReady
	return p
}

func TestSpans(t *testing.T) {
	t.Parallel()
	const w, s, r, b = record.Waiting, record.Starting, record.Serving, record.BackOff
	tests := map[string]struct {
		pod  record.Pod
		end  float64
		want []record.Span
	}{
		"nothing yet":      {pod(), 5, []record.Span{{0, 5, w}}},
		"ready":            {pod("claimed", 0, "granted", 2, "started", 3, "ready", 6, "returned", 6), 9, []record.Span{{0, 3, w}, {3, 6, s}, {6, 9, r}}},
		"started at once":  {pod("started", 0, "ready", 6), 9, []record.Span{{0, 6, s}, {6, 9, r}}},
		"killed":           {pod("started", 1, "stopped", 4, "started", 6, "ready", 8), 9, []record.Span{{0, 1, w}, {1, 4, s}, {4, 6, b}, {6, 8, s}, {8, 9, r}}},
		"restart at once":  {pod("started", 1, "stopped", 4, "started", 4), 9, []record.Span{{0, 1, w}, {1, 4, s}, {4, 9, s}}},
		"loses readiness":  {pod("started", 1, "ready", 2, "unready", 4, "ready", 5), 9, []record.Span{{0, 1, w}, {1, 2, s}, {2, 4, r}, {4, 5, s}, {5, 9, r}}},
		"deleted":          {pod("started", 1, "deleted", 4), 9, []record.Span{{0, 1, w}, {1, 4, s}, {4, 9, record.Gone}}},
		"cut at the end":   {pod("started", 1, "ready", 20), 9, []record.Span{{0, 1, w}, {1, 9, s}}},
		"ready at the end": {pod("started", 1, "ready", 9), 9, []record.Span{{0, 1, w}, {1, 9, s}, {9, 9, r}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.pod.Spans(test.end); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	bound := &record.Bound{Applications: 72, Overhead: 30, Cores: 2, Idle: 0.3} // 60 s
	tests := map[string]struct {
		pods []record.Pod
		want record.Summary
		all  float64 // all Ready, 0 for never
		mean float64
	}{
		"one after the other": {
			[]record.Pod{
				pod("claimed", 0, "granted", 0, "started", 1, "ready", 3, "returned", 4),
				pod("claimed", 1, "granted", 4, "started", 5, "ready", 9, "returned", 8),
			},
			record.Summary{Pods: 2, Ready: 2, Sound: 2, Healthy: 2, Starters: 1, Grants: 1}, 9, 6,
		},
		"the slot ends before Ready": {
			[]record.Pod{
				pod("claimed", 0, "granted", 0, "started", 1, "returned", 4, "ready", 5),
				pod("claimed", 1, "granted", 4, "started", 5, "ready", 9, "returned", 8),
			},
			record.Summary{Pods: 2, Ready: 2, Sound: 2, Healthy: 2, Starters: 2, Grants: 1}, 9, 7,
		},
		"no lock, restarts": {
			[]record.Pod{
				pod("started", 0, "stopped", 5, "started", 6, "ready", 9),
				pod("started", 0, "stopped", 5, "started", 15),
				pod("started", 4, "ready", 9),
			},
			record.Summary{Pods: 3, Ready: 2, Sound: 3, Healthy: 2, Restarts: 2, Starters: 3}, 0, 9,
		},
		"back-off is no start": {
			[]record.Pod{pod("started", 0, "stopped", 5), pod("started", 6, "ready", 9)},
			record.Summary{Pods: 2, Ready: 1, Sound: 2, Healthy: 1, Starters: 1}, 0, 9,
		},
		"a queue jumper": {
			[]record.Pod{pod("claimed", 0, "granted", 5), pod("claimed", 1, "granted", 2, "returned", 5), pod("claimed", 2)},
			record.Summary{Pods: 3, Sound: 3, Starters: 1, Grants: 1, Inversions: 1}, 0, 0,
		},
		"never Ready again": {
			[]record.Pod{pod("started", 0, "ready", 5, "unready", 7)},
			record.Summary{Pods: 1, Sound: 1, Starters: 1}, 0, 0,
		},
		"a faulty pod is not waited for": {
			[]record.Pod{
				faulty(pod("claimed", 0, "granted", 0, "started", 1, "returned", 5)),
				pod("claimed", 0, "granted", 5, "started", 6, "ready", 8, "returned", 8),
			},
			record.Summary{Pods: 2, Ready: 1, Sound: 1, Healthy: 1, Starters: 2, Grants: 1}, 8, 8,
		},
		"a faulty pod's readiness counts for little": {
			[]record.Pod{faulty(pod("started", 1, "ready", 2)), pod("started", 1)},
			record.Summary{Pods: 2, Ready: 1, Sound: 1, Starters: 2}, 0, 0,
		},
		"a deleted pod is not waited for": {
			[]record.Pod{pod("started", 1, "deleted", 5), pod("started", 2, "ready", 4, "deleted", 5), pod("started", 5, "ready", 8)},
			record.Summary{Pods: 3, Ready: 1, Sound: 1, Healthy: 1, Starters: 2}, 8, 8,
		},
		"nobody": {nil, record.Summary{}, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := record.Summarize(&record.Run{Pods: test.pods, Ended: 20}, bound)
			all, mean := got.AllReady, got.MeanReady
			if (all == nil) != (test.all == 0) || all != nil && (*all != test.all || math.Abs(*got.Ratio-test.all/60) > 1e-9) {
				t.Errorf("all Ready at %v, ratio %v, want %v", all, got.Ratio, test.all)
			}
			if (mean == nil) != (test.mean == 0) || mean != nil && *mean != test.mean {
				t.Errorf("mean %v, want %v", mean, test.mean)
			}
			got.AllReady, got.MeanReady, got.Ratio, got.Spacing, got.LongestWait = nil, nil, nil, nil, nil
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestSpacing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pods []record.Pod
		want float64 // negative for none
	}{
		"of grants, when there are any":  {[]record.Pod{pod("granted", 3, "started", 4), pod("granted", 1, "started", 4), pod("granted", 7)}, 2},
		"of starts, when there are none": {[]record.Pod{pod("started", 3), pod("started", 8)}, 5},
		"one":                            {[]record.Pod{pod("started", 3)}, -1},
	}
	for name, test := range tests {
		got := record.Summarize(&record.Run{Pods: test.pods}, nil).Spacing
		if (got == nil) != (test.want < 0) || got != nil && *got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestLongestWait(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pods []record.Pod
		want float64 // negative for none
	}{
		"from the claim to the grant":                  {[]record.Pod{pod("claimed", 1, "granted", 4, "started", 9), pod("claimed", 3, "granted", 5, "started", 6)}, 3},
		"from nothing to the start, without a lock":    {[]record.Pod{pod("started", 3, "stopped", 5, "started", 9), pod("started", 1)}, 3},
		"to a start without a grant":                   {[]record.Pod{pod("claimed", 1, "started", 8)}, 7},
		"in vain, to the end":                          {[]record.Pod{pod("claimed", 1, "granted", 4), pod("claimed", 2)}, 18},
		"until it was deleted":                         {[]record.Pod{pod("claimed", 2, "deleted", 7)}, 5},
		"a second grant is no wait":                    {[]record.Pod{pod("claimed", 0, "granted", 1, "returned", 2, "claimed", 4, "granted", 15)}, 1},
		"a faulty pod may wait as long as it likes to": {[]record.Pod{faulty(pod("claimed", 1)), pod("claimed", 1, "granted", 2)}, 1},
		"nobody": {[]record.Pod{faulty(pod("claimed", 1))}, -1},
	}
	for name, test := range tests {
		got := record.Summarize(&record.Run{Pods: test.pods, Ended: 20}, nil).LongestWait
		if (got == nil) != (test.want < 0) || got != nil && *got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestHeldCountsWeights(t *testing.T) {
	t.Parallel()
	heavy := pod("granted", 1, "returned", 5)
	heavy.Weight = 3
	got := record.Held(&record.Run{Pods: []record.Pod{heavy, pod("granted", 4, "returned", 6)}, Ended: 9})
	if want := []record.Step{{At: 1, N: 3}, {At: 4, N: 4}, {At: 5, N: 1}, {At: 6, N: 0}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheLimitIsKeptWhereItChanges(t *testing.T) {
	t.Parallel()
	said := func(now, slots int) lockapi.State {
		return lockapi.State{Now: after(now), Limit: lockapi.Limit{Slots: slots}}
	}
	tests := map[string]struct {
		states []lockapi.State
		want   []record.Step
	}{
		"no lock":                         {nil, nil},
		"fixed":                           {[]lockapi.State{said(1, 2), said(2, 2), said(3, 2)}, []record.Step{{At: 0, N: 2}}},
		"it moves":                        {[]lockapi.State{said(1, 2), said(2, 3), said(3, 3), said(5, 2)}, []record.Step{{At: 0, N: 2}, {At: 2, N: 3}, {At: 5, N: 2}}},
		"known before the herd was there": {[]lockapi.State{said(-3, 1), said(-2, 4), said(1, 4), said(2, 5)}, []record.Step{{At: 0, N: 4}, {At: 2, N: 5}}},
		"after the end":                   {[]lockapi.State{said(1, 2), said(21, 3)}, []record.Step{{At: 0, N: 2}}},
		"a state without a limit":         {[]lockapi.State{{Now: after(1)}, said(2, 2), {Now: after(3)}, said(4, 2)}, []record.Step{{At: 0, N: 2}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := record.NewLog("test", &spec.Scenario{}, spec.Policy{}, nil, after(0))
			for _, s := range test.states {
				log.Merge(&s)
			}
			log.Finish(after(20), false)
			if got := log.Snapshot(after(30)).Limits; !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	slow, elsewhere := record.DaemonSet{Name: "slow", ReadyAt: f(20)}, record.DaemonSet{Name: "elsewhere", Elsewhere: spec.ByTaint}
	tests := map[string]struct {
		sets []record.DaemonSet
		pods []record.Pod
		want *float64
	}{
		"granted afterwards":         {[]record.DaemonSet{elsewhere, slow, {Name: "quick", ReadyAt: f(3)}}, []record.Pod{pod("granted", 23), pod("granted", 21), pod()}, f(1)},
		"granted before":             {[]record.DaemonSet{slow}, []record.Pod{pod("granted", 23), pod("granted", 4)}, f(-16)},
		"one that never was Ready":   {[]record.DaemonSet{slow, {Name: "broken"}}, []record.Pod{pod("granted", 23)}, nil},
		"nobody was granted":         {[]record.DaemonSet{slow}, []record.Pod{pod("claimed", 23)}, nil},
		"nobody is meant to be here": {[]record.DaemonSet{elsewhere}, []record.Pod{pod("granted", 23)}, nil},
	}
	for name, test := range tests {
		got := record.Summarize(&record.Run{DaemonSets: test.sets, Pods: test.pods}, nil).Gate
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	if got := (record.Bound{Applications: 72, Overhead: 30, Cores: 2, Idle: 0.35}).Seconds(); math.Abs(got-61.8) > 0.1 {
		t.Errorf("the first herd of the design: %v, want about 62", got)
	}
	if got := (record.Bound{Applications: 72, Cores: 2, Idle: 2}).Seconds(); got != 0 {
		t.Errorf("a node without a free core: %v, want 0 for unknown", got)
	}
}

func TestInversionsAreThePassedClaims(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "pods")
		pods := make([]record.Pod, n)
		for i := range pods {
			pods[i] = pod("claimed", i, "granted", 100+i)
			pods[i].Priority = rapid.IntRange(0, 1).Draw(t, "priority")
		}
		if got := record.Inversions(pods); got != 0 {
			t.Fatalf("in order: %d inversions", got)
		}
		// Whoever is granted last, after everybody of its rank, was passed by all later claims.
		late := rapid.IntRange(0, n-1).Draw(t, "late")
		pods[late].Events[1].At = 1000
		want := 0
		for i := late + 1; i < n; i++ {
			if pods[i].Priority == pods[late].Priority {
				want = 1
			}
		}
		shuffled := rapid.Permutation(pods).Draw(t, "order of the rows")
		if got := record.Inversions(shuffled); got != want {
			t.Fatalf("one late: %d inversions, want %d", got, want)
		}
	})
}

// history draws what may happen to one pod, in order of time.
func history(t *rapid.T) record.Pod {
	var p record.Pod
	at := 0.0
	add := func(w record.What) {
		at += rapid.Float64Range(0, 10).Draw(t, "dt")
		p.Events = append(p.Events, record.Event{At: at, What: w})
	}
	if rapid.Bool().Draw(t, "lock") {
		add(record.Claimed)
		add(record.Granted)
		add(record.Returned)
	}
	for range rapid.IntRange(0, 4).Draw(t, "lives") {
		add(record.Started)
		if rapid.Bool().Draw(t, "ready") {
			add(record.Ready)
		}
		add(record.Stopped)
	}
	return p
}

func TestPropertiesOfARun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run := &record.Run{Ended: rapid.Float64Range(0, 100).Draw(t, "ended")}
		for range rapid.IntRange(0, 8).Draw(t, "pods") {
			run.Pods = append(run.Pods, history(t))
		}
		for i := range run.Pods {
			spans := run.Pods[i].Spans(run.Ended)
			at := 0.0
			for _, s := range spans {
				if s.From != at || s.To < s.From {
					t.Fatalf("a gap or a step back at %v: %v", at, spans)
				}
				at = s.To
			}
			if at != run.Ended {
				t.Fatalf("the states end at %v, the run at %v", at, run.Ended)
			}
		}
		starters, grants := record.Starters(run), record.Grants(run)
		if record.Peak(starters) > len(run.Pods) || record.Peak(grants) > record.Peak(starters) {
			t.Fatalf("%d pods, at most %d grants and %d starters", len(run.Pods), record.Peak(grants), record.Peak(starters))
		}
		for _, steps := range [][]record.Step{starters, grants} {
			if !slices.IsSortedFunc(steps, func(a, b record.Step) int { return cmp.Compare(a.At, b.At) }) {
				t.Fatalf("steps out of order: %v", steps)
			}
			for i, s := range steps {
				if s.N < 0 || i == len(steps)-1 && s.N != 0 {
					t.Fatalf("step %d of %v", i, steps)
				}
			}
		}
		sorted := record.ByClaim(run.Pods)
		if len(sorted) != len(run.Pods) {
			t.Fatalf("sorting changes %d pods to %d", len(run.Pods), len(sorted))
		}
	})
}

func TestLogMergesTheLocksRecord(t *testing.T) {
	t.Parallel()
	appeared := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return appeared.Add(time.Duration(s) * time.Second) }
	one, two, other := lockapi.Pod{UID: "1"}, lockapi.Pod{UID: "2"}, lockapi.Pod{UID: "other"}
	log := record.NewLog("test", &spec.Scenario{Name: "s"}, spec.Policy{Name: "p"}, []record.Pod{{Name: "a", UID: "1"}, {Name: "b", UID: "2"}}, appeared)

	log.Merge(nil)
	log.Merge(&lockapi.State{
		Grants: []lockapi.GrantState{{Pod: one, ClaimedAt: at(0), GrantedAt: at(1), ExpiresAt: at(5)}},
		Queue:  []lockapi.ClaimState{{Pod: two, ClaimedAt: at(2)}, {Pod: other, ClaimedAt: at(2)}},
	})
	log.Add(0, at(2), record.Started, "")
	log.Add(0, at(3), record.Ready, "")
	early := log.Snapshot(at(3))
	if got, want := early.Pods[0].Events, pod("claimed", 0, "granted", 1, "started", 2, "ready", 3).Events; !reflect.DeepEqual(got, want) {
		t.Errorf("before the lease ends: %v, want %v", got, want)
	}
	if got, want := early.Pods[1].Events, pod("claimed", 2).Events; !reflect.DeepEqual(got, want) {
		t.Errorf("in the queue: %v, want %v", got, want)
	}

	// Pod one's grant ends before its lease; pod two's is known only when it has ended.
	log.Merge(&lockapi.State{Recent: []lockapi.EndedState{
		{GrantState: lockapi.GrantState{Pod: one, ClaimedAt: at(0), GrantedAt: at(1), ExpiresAt: at(5)}, EndedAt: at(4), Ended: "released"},
		{GrantState: lockapi.GrantState{Pod: two, ClaimedAt: at(2), GrantedAt: at(4), ExpiresAt: at(8)}, EndedAt: at(8), Ended: "lease"},
	}})
	if log.AllReady((*record.Pod).Sound) {
		t.Error("all Ready too early")
	}
	log.Add(1, at(5), record.Started, "")
	log.Add(1, at(7), record.Ready, "")
	log.Sample(at(7), record.Sample{Busy: 1.5})
	if !log.AllReady((*record.Pod).Sound) {
		t.Error("not all Ready")
	}
	log.Finish(at(7), false)
	log.Add(1, at(9), record.Stopped, "the end")
	run := log.Snapshot(at(20))
	if run.Ended != 7 || len(run.Samples) != 1 || run.Samples[0].At != 7 || run.Samples[0].Busy != 1.5 {
		t.Errorf("ended %v, samples %+v", run.Ended, run.Samples)
	}
	if e := run.Pods[0].Events[len(run.Pods[0].Events)-1]; e.What != record.Returned || e.At != 4 || e.Note != "released" {
		t.Errorf("the end of the first grant: %+v", e)
	}
	if _, returned := run.Pods[1].First(record.Returned); returned {
		t.Error("the second grant ended after the run, and yet it is in it")
	}
	if s := record.Summarize(run, nil); s.Starters != 1 || s.Grants != 1 || s.Inversions != 0 || s.Ready != 2 {
		t.Errorf("summary %+v", s)
	}
}

// claim is one of pod a as the lock's states have it, in seconds after it appeared.
func claim(claimed, granted, expires int) lockapi.GrantState {
	return lockapi.GrantState{Pod: lockapi.Pod{UID: "1"}, ClaimedAt: after(claimed), GrantedAt: after(granted), ExpiresAt: after(expires)}
}

func after(s int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(s) * time.Second)
}

func TestWhatTheLockSaysOfAPod(t *testing.T) {
	t.Parallel()
	ended := func(g lockapi.GrantState, at int, why string) lockapi.EndedState {
		return lockapi.EndedState{GrantState: g, EndedAt: after(at), Ended: why}
	}
	adopted := func(g lockapi.GrantState) lockapi.GrantState { g.Adopted = true; return g }
	waits := func(now, since int) lockapi.State {
		return lockapi.State{Now: after(now), Queue: []lockapi.ClaimState{{Pod: lockapi.Pod{UID: "1"}, ClaimedAt: after(since)}}}
	}
	holds := func(now int, g ...lockapi.GrantState) lockapi.State { return lockapi.State{Now: after(now), Grants: g} }
	held := func(now int, e ...lockapi.EndedState) lockapi.State { return lockapi.State{Now: after(now), Recent: e} }
	tests := map[string]struct {
		states []lockapi.State
		heard  record.Pod
		want   record.Pod
	}{
		"heard of Ready after the lock did": {
			[]lockapi.State{held(9, ended(claim(0, 1, 100), 5, "ready"))}, pod("started", 2, "ready", 6),
			pod("claimed", 0, "granted", 1, "started", 2, "ready", 5, "returned", 5),
		},
		"and of its start, too": {
			[]lockapi.State{held(9, ended(claim(0, 1, 100), 5, "ready"))}, pod("started", 6, "ready", 6),
			pod("claimed", 0, "granted", 1, "started", 5, "ready", 5, "returned", 5),
		},
		"of a start after the lock did": {
			[]lockapi.State{held(9, ended(claim(0, 1, 100), 5, "started"))}, pod("started", 7, "ready", 8),
			pod("claimed", 0, "granted", 1, "started", 5, "returned", 5, "ready", 8),
		},
		"heard much later: that is another Ready": {
			[]lockapi.State{held(9, ended(claim(0, 1, 100), 5, "ready"))}, pod("started", 2, "ready", 8),
			pod("claimed", 0, "granted", 1, "started", 2, "returned", 5, "ready", 8),
		},
		"the end of a lease says nothing": {
			[]lockapi.State{held(9, ended(claim(0, 1, 5), 5, "lease"))}, pod("started", 2, "ready", 6),
			pod("claimed", 0, "granted", 1, "started", 2, "returned", 5, "ready", 6),
		},
		"of a former life": {
			[]lockapi.State{held(9, ended(claim(-9, -8, -3), -3, "ready"), ended(claim(1, 2, 100), 5, "ready"))}, pod("started", 3, "ready", 5),
			pod("claimed", 1, "granted", 2, "started", 3, "ready", 5, "returned", 5),
		},
		"a grant that nobody had": {
			[]lockapi.State{{Now: after(9), Recent: []lockapi.EndedState{ended(claim(0, 1, 100), 2, "undelivered")}, Grants: []lockapi.GrantState{claim(0, 4, 100)}}},
			pod(), pod("claimed", 0, "granted", 4),
		},
		"forgotten by the lock": {
			[]lockapi.State{holds(3, claim(0, 1, 100)), holds(8)}, pod(), pod("claimed", 0, "granted", 1, "returned", 8),
		},
		"forgotten and adopted": {
			[]lockapi.State{holds(3, claim(0, 2, 100)), holds(8), holds(9, claim(1, 1, 101)), held(12, ended(claim(1, 1, 101), 11, "ready"))},
			pod("started", 3, "ready", 11), pod("claimed", 0, "granted", 2, "started", 3, "ready", 11, "returned", 11),
		},
		"forgotten, adopted, and ended before that was heard": {
			[]lockapi.State{holds(3, claim(0, 2, 100)), held(14, ended(adopted(claim(3, 3, 103)), 11, "ready"))},
			pod("started", 4, "ready", 12), pod("claimed", 0, "granted", 2, "started", 4, "ready", 11, "returned", 11),
		},
		"forgotten after its pod was Ready": {
			[]lockapi.State{holds(3, claim(0, 1, 100)), holds(8)}, pod("started", 2, "ready", 5),
			pod("claimed", 0, "granted", 1, "started", 2, "ready", 5, "returned", 5),
		},
		"adopted, within the second that it is told": {
			[]lockapi.State{waits(3, 0), held(12, ended(adopted(claim(4, 4, 104)), 11, "ready"))}, pod("started", 9, "ready", 11),
			pod("claimed", 0, "granted", 5, "started", 9, "ready", 11, "returned", 11),
		},
		"expected by a lock that never heard of it": {
			[]lockapi.State{{Now: after(3), Queue: []lockapi.ClaimState{{Pod: lockapi.Pod{UID: "1"}, ClaimedAt: after(0), Expected: true}}}}, pod(), pod(),
		},
		"a second claim": {
			[]lockapi.State{held(9, ended(claim(0, 1, 3), 3, "lease"), ended(claim(4, 5, 7), 7, "lease"))}, pod(),
			pod("claimed", 0, "granted", 1, "returned", 3, "claimed", 4, "granted", 5, "returned", 7),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := record.NewLog("test", &spec.Scenario{}, spec.Policy{}, []record.Pod{{UID: "1", Events: test.heard.Events}}, after(0))
			for _, s := range test.states {
				log.Merge(&s)
			}
			log.Finish(after(20), false)
			got := log.Snapshot(after(20)).Pods[0].Events
			for i := range got {
				got[i].Note = ""
			}
			if !reflect.DeepEqual(got, test.want.Events) {
				t.Errorf("got  %v\nwant %v", got, test.want.Events)
			}
		})
	}
}

func TestLogIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{Pods: []spec.Group{{Name: "a", Count: 8}}}
	pods := record.Pods(s, func(name string) string { return name })
	log := record.NewLog("test", s, spec.Policy{}, pods, time.Now())
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() {
			for range 50 {
				log.Add(i, time.Now(), record.Started, "")
				log.Merge(&lockapi.State{Queue: []lockapi.ClaimState{{Pod: lockapi.Pod{UID: pods[i].UID}, ClaimedAt: time.Now()}}})
				log.Snapshot(time.Now())
			}
			log.Add(i, time.Now(), record.Ready, "")
		})
	}
	all.Wait()
	if !log.AllReady((*record.Pod).Sound) {
		t.Error("not all Ready")
	}
}

func TestPods(t *testing.T) {
	t.Parallel()
	pods := record.Pods(&spec.Scenario{Pods: []spec.Group{{Name: "a", Count: 10, Weight: 1}, {Name: "b", Count: 1, Priority: 3}}},
		func(name string) string { return "uid-" + name })
	if len(pods) != 11 || pods[0].Name != "a-01" || pods[9].Name != "a-10" || pods[10].Name != "b-1" || pods[10].Priority != 3 || pods[3].UID != "uid-a-04" {
		t.Errorf("%+v", pods)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	f := func(v float64) *float64 { return &v }
	ready := record.Summary{Pods: 3, Ready: 3, Sound: 3, Healthy: 3, Starters: 2, AllReady: f(10), Ratio: f(1.2), Spacing: f(0.9999)}
	tests := map[string]struct {
		expect spec.Expect
		sum    record.Summary
		broken []string
	}{
		"nothing expected": {spec.Expect{}, ready, nil},
		"all holds": {
			spec.Expect{Ready: &spec.Range{Least: f(3)}, Restarts: &spec.Range{Least: f(0), Most: f(0)}, Ratio: &spec.Range{Most: f(1.2)}}, ready, nil,
		},
		"each broken one is named": {
			spec.Expect{
				Ready: &spec.Range{Least: f(4), Most: f(4)}, Starters: &spec.Range{Most: f(1)},
				Spacing: &spec.Range{Least: f(1)}, Restarts: &spec.Range{Least: f(1)},
			}, ready,
			[]string{
				"pods Ready: expected exactly 4, measured 3", "restarts: expected at least 1, measured 0",
				"most starters at once: expected at most 1, measured 2", "shortest time between two starts: expected at least 1 s, measured 0.9999 s",
			},
		},
		"what was not measured does not hold": {
			spec.Expect{Ratio: &spec.Range{Most: f(2)}}, record.Summary{}, []string{"ratio to the node bound: expected at most 2, measured nothing"},
		},
		"beside faults, behind the gate": {
			spec.Expect{Healthy: &spec.Range{Least: f(2), Most: f(2)}, Gate: &spec.Range{Least: f(0)}}, record.Summary{Pods: 3, Healthy: 2, Gate: f(0)}, nil,
		},
		"through the gate": {
			spec.Expect{Gate: &spec.Range{Least: f(0)}}, record.Summary{Gate: f(-16.5)},
			[]string{"first grant after the node's DaemonSets: expected at least 0 s, measured -16.5 s"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken []string
			for _, c := range record.Judge(spec.Policy{Expect: test.expect, Only: map[string]spec.Expect{"elsewhere": test.expect}}, "here", test.sum) {
				if !c.Holds {
					broken = append(broken, c.String())
				}
			}
			if !slices.Equal(broken, test.broken) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(broken, "\n"), strings.Join(test.broken, "\n"))
			}
		})
	}
}

func TestResultIsReadBackWhole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "write")
	zero := 0.0
	r := &record.Result{
		Made: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), On: "test", Scenario: &spec.Scenario{Name: "s"},
		Bound: &record.Bound{Applications: 1, Cores: 1},
	}
	r.Add(&record.Run{
		Scenario: "s", Pods: []record.Pod{pod("started", 0, "stopped", 1)}, Ended: 4, GaveUp: true,
		Policy: spec.Policy{Name: "none", Expect: spec.Expect{Restarts: &spec.Range{Most: &zero}}},
	})
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	back, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("got  %+v\nwant %+v", back, r)
	}
	if _, err := record.Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "read result") {
		t.Errorf("no result at all: %v", err)
	}
}
