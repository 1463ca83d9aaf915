package spec_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

const good = `name: two
node: {cores: 2}
pods:
  - name: a
    count: 2
    startup: {cpu: 3s, idle: 1m30s, read: 64Mi}
    probes:
      liveness: {initialDelay: 10s, period: 5, timeout: 1s, failures: 2}
      readiness: {period: 1s}
    weight: 2
    priority: -5
  - name: b
    count: 1
    startup: {}
    probes: none
policies:
  - {name: none, lock: none}
  - name: fixed
    lock: {locks: 2, lease: 4, releaseOn: ready}
    expect: {ready: all, restarts: 0, starters: {most: 2}, spacing: {least: 500ms}, ratio: {least: 1, most: 1.5}, kind: {grants: 1}}
`

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := spec.Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	second := spec.Duration(time.Second)
	f := func(v float64) *float64 { return &v }
	want := &spec.Scenario{
		Name: "two", Node: spec.Node{Cores: 2},
		Pods: []spec.Group{
			{
				Name: "a", Count: 2, Weight: 2, Priority: -5,
				Startup: spec.Startup{CPU: 3 * second, Idle: 90 * second, Read: 64 << 20},
				Probes: spec.Probes{
					Liveness:  &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2},
					Readiness: &spec.Probe{Period: second, Timeout: second, Failures: 3},
				},
			},
			{Name: "b", Count: 1, Weight: 1},
		},
		Policies: []spec.Policy{
			{Name: "none"},
			{
				Name: "fixed", Lock: &spec.Lock{Locks: 2, Lease: 4 * second, ReleaseOn: lockapi.ReleaseOnReady},
				Expect: spec.Expect{
					Ready: &spec.Range{Least: f(3), Most: f(3)}, Restarts: &spec.Range{Least: f(0), Most: f(0)},
					Starters: &spec.Range{Most: f(2)}, Spacing: &spec.Range{Least: f(0.5)}, Ratio: &spec.Range{Least: f(1), Most: f(1.5)},
				},
				Only: map[string]spec.Expect{"kind": {Grants: &spec.Range{Least: f(1), Most: f(1)}}},
			},
		},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if s.Count() != 3 || s.CPU() != 6*time.Second {
		t.Errorf("%d pods of %s, want 3 of 6s", s.Count(), s.CPU())
	}
	empty := s.WithoutWork()
	if empty.CPU() != 0 || !reflect.DeepEqual(empty.Pods[0].Probes, s.Pods[0].Probes) || s.CPU() == 0 {
		t.Errorf("without work: %+v", empty)
	}
	// A result keeps the scenario as JSON: nothing may get lost.
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back spec.Scenario
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(&back, want) {
		t.Errorf("through JSON: %v\n%s", err, data)
	}
}

const rough = `name: rough
on: [kind]
node: {cores: 2}
daemonSets:
  - {name: slow, readyAfter: 20s}
  - {name: far, elsewhere: affinity}
  - {name: kept-off, elsewhere: taint}
pods:
  - {name: bad, count: 3, fault: crash-loop, startup: {cpu: 5s}}
  - {name: good, count: 2, startup: {cpu: 1s}}
reboot: true
policies:
  - name: one
    lock: {locks: 1, lease: 20s}
    expect: {healthy: all, ready: {most: 2}, gate: {least: 0}}
`

func TestParseWhatOnlyAClusterHas(t *testing.T) {
	t.Parallel()
	s, err := spec.Parse("rough.yaml", []byte(rough))
	if err != nil {
		t.Fatal(err)
	}
	f := func(v float64) *float64 { return &v }
	second := spec.Duration(time.Second)
	want := &spec.Scenario{
		Name: "rough", On: []string{"kind"}, Node: spec.Node{Cores: 2}, Reboot: true,
		DaemonSets: []spec.DaemonSet{
			{Name: "slow", ReadyAfter: 20 * second}, {Name: "far", Elsewhere: spec.ByAffinity}, {Name: "kept-off", Elsewhere: spec.ByTaint},
		},
		Pods: []spec.Group{
			{Name: "bad", Count: 3, Weight: 1, Fault: spec.CrashLoop, Startup: spec.Startup{CPU: 5 * second}},
			{Name: "good", Count: 2, Weight: 1, Startup: spec.Startup{CPU: second}},
		},
		Policies: []spec.Policy{{
			Name: "one", Lock: &spec.Lock{Locks: 1, Lease: 20 * second, ReleaseOn: lockapi.ReleaseOnTimeout},
			Expect: spec.Expect{Healthy: &spec.Range{Least: f(2), Most: f(2)}, Ready: &spec.Range{Most: f(2)}, Gate: &spec.Range{Least: f(0)}},
		}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if s.RunsOn("local") || !s.RunsOn("kind") || s.Count() != 5 || s.Healthy() != 2 || s.CPU() != 2*time.Second {
		t.Errorf("on local %v, %d pods, %d healthy, %s", s.RunsOn("local"), s.Count(), s.Healthy(), s.CPU())
	}
	empty := s.WithoutWork()
	if len(empty.Pods) != 1 || empty.Pods[0].Name != "good" || len(empty.DaemonSets) > 0 || empty.Reboot || !s.Reboot {
		t.Errorf("without work: %+v", empty)
	}
}

const shared = `name: shared
on: [local, sim]
node: {cores: 1, quota: true, noise: {threads: 2, on: 3s, off: 500ms}}
pods:
  - name: a
    count: 2
    startup: {cpu: 1s}
    probes: {liveness: {period: 5s}, readiness: {period: 1s}}
policies:
  - {name: patient, lock: none, patient: true}
  - {name: auto, lock: {locks: auto, min: 2, max: 8, lease: 120s, releaseOn: ready}}
  - {name: oracle, lock: {locks: oracle, lease: 120s}}
`

func TestParseOfASharedNodeAndItsSlots(t *testing.T) {
	t.Parallel()
	s, err := spec.Parse("shared.yaml", []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	second := spec.Duration(time.Second)
	node := spec.Node{Cores: 1, Quota: true, Noise: &spec.Noise{Threads: 2, On: 3 * second, Off: second / 2}}
	if !reflect.DeepEqual(s.Node, node) {
		t.Errorf("node %+v, want %+v", s.Node, node)
	}
	want := []spec.Policy{
		{Name: "patient", Patient: true},
		{Name: "auto", Lock: &spec.Lock{Auto: true, Min: 2, Max: 8, Lease: 120 * second, ReleaseOn: lockapi.ReleaseOnReady}},
		{Name: "oracle", Lock: &spec.Lock{Oracle: true, Lease: 120 * second, ReleaseOn: lockapi.ReleaseOnTimeout}},
	}
	if !reflect.DeepEqual(s.Policies, want) {
		t.Errorf("policies %+v", s.Policies)
	}
}

func TestAPatientPolicyLeavesLivenessOut(t *testing.T) {
	t.Parallel()
	s, err := spec.Parse("shared.yaml", []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.For(s.Policies[1]); got != s {
		t.Error("another policy changes the scenario")
	}
	got := s.For(s.Policies[0])
	if p := got.Pods[0].Probes; p.Liveness != nil || p.Readiness == nil || got.Name != s.Name || got.Count() != s.Count() {
		t.Errorf("patient: %+v", got)
	}
	if s.Pods[0].Probes.Liveness == nil {
		t.Error("the scenario itself lost its liveness probe")
	}
	for i, want := range []string{"no lock, no liveness probes", "slots follow the node, lease 2m, released on ready"} {
		if got := s.Policies[i].String(); got != want {
			t.Errorf("in words: %q, want %q", got, want)
		}
	}
}

func TestCommittedScenariosAreGood(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, path := range paths {
		s, err := spec.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if s.Name+".yaml" != filepath.Base(path) || s.Description == "" {
			t.Errorf("%s: is named %q, described %q", path, s.Name, s.Description)
		}
	}
}

func TestParseNamesEveryProblemWithItsLine(t *testing.T) {
	t.Parallel()
	swap := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the good scenario", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	harm := func(old, with string) string {
		if !strings.Contains(rough, old) {
			t.Fatalf("%q is not in the rough scenario", old)
		}
		return strings.Replace(rough, old, with, 1)
	}
	spoil := func(old, with string) string {
		if !strings.Contains(shared, old) {
			t.Fatalf("%q is not in the shared scenario", old)
		}
		return strings.Replace(shared, old, with, 1)
	}
	tests := map[string]struct {
		yaml string
		want []string
	}{
		"noise on a cluster": {spoil("[local, sim]", "[local, kind]"), []string{"x.yaml:3: node.quota and node.noise are for every place but a cluster: say on: [local, sim]"}},
		"quota anywhere":     {spoil("on: [local, sim]\n", ""), []string{"x.yaml:2: node.quota and node.noise are for every place but a cluster"}},
		"silent noise":       {spoil("threads: 2", "threads: 0"), []string{`x.yaml:3: node.noise.threads: "0" is not a whole number from 1`}},
		"hectic noise":       {spoil("on: 3s", "on: 3ms"), []string{"x.yaml:3: node.noise.on: 3ms is out of range"}},
		"odd quota":          {spoil("quota: true", "quota: 1"), []string{`x.yaml:3: node.quota: "1" is none of [true false]`}},
		"odd patience":       {spoil("patient: true", "patient: very"), []string{`x.yaml:10: policies[0].patient: "very" is none of [true false]`}},
		"odd slots":          {spoil("locks: auto", "locks: many"), []string{`x.yaml:11: policies[1].lock.locks: "many" is not a whole number`}},
		"crossed bounds":     {spoil("min: 2", "min: 9"), []string{"x.yaml:11: policies[1].lock: min 9 is above max 8"}},
		"bounds of nothing":  {spoil("locks: auto", "locks: 3"), []string{"x.yaml:11: policies[1].lock: min and max are bounds for locks: auto"}},
		"elsewhere where":    {harm("affinity", "moon"), []string{`x.yaml:6: daemonSets[1].elsewhere: "moon" is none of [affinity taint]`}},
		"same DaemonSet":     {harm("name: far", "name: slow"), []string{"x.yaml:6: daemonSets[1]: one named slow is there already"}},
		"odd fault":          {harm("crash-loop", "lazy"), []string{`x.yaml:9: pods[0].fault: "lazy" is none of [never-ready no-image crash-loop]`}},
		"all faulty":         {harm("startup: {cpu: 1s}", "fault: no-image, startup: {}"), []string{"x.yaml:9: pods: all of them have a fault"}},
		"odd reboot":         {harm("reboot: true", "reboot: twice"), []string{`x.yaml:11: reboot: "twice" is none of [true false]`}},
		"anywhere":           {harm("on: [kind]", "on: [local, kind]"), []string{"daemonSets, reboot and fault are for a cluster only: say on: [kind]"}},
		"by default":         {harm("on: [kind]\n", ""), []string{"say on: [kind]"}},
		"on the moon":        {harm("on: [kind]", "on: [moon]"), []string{`x.yaml:2: on[0]: "moon" is none of [local kind sim]`}},
		"nowhere":            {harm("on: [kind]", "on: []"), []string{"x.yaml:2: on: empty"}},
		"too many healthy":   {harm("healthy: all", "healthy: 3"), []string{"x.yaml:15: policies[0].expect.healthy: 3 is more than the 2 pods"}},
		"odd gate":           {harm("least: 0", "least: -1s"), []string{"x.yaml:15: policies[0].expect.gate.least", "negative"}},
		"empty":              {"", []string{"x.yaml: empty"}},
		"only a comment":     {"# hello\n", []string{"x.yaml: empty"}},
		"not YAML":           {"a: [", []string{"x.yaml: not YAML"}},
		"two documents":      {good + "---\na: 1\n", []string{"more than one document"}},
		"a list":             {"- a\n", []string{"x.yaml:1: scenario: want a mapping"}},
		"missing":            {"name: a\n", []string{"node is missing", "pods is missing", "policies is missing"}},
		"unknown key":        {swap("cores: 2", "cores: 2, gpus: 1"), []string{`x.yaml:2: node: unknown key "gpus"; known are cores, quota, noise`}},
		"twice":              {swap("name: two", "name: two\nname: three"), []string{"x.yaml:2: scenario: name is given twice, first in line 1"}},
		"no cores":           {swap("cores: 2", "cores: 0"), []string{`x.yaml:2: node.cores: "0" is not a whole number from 1`}},
		"bad name":           {swap("name: a", "name: A b"), []string{"x.yaml:4: pods[0].name"}},
		"same group":         {swap("name: b", "name: a"), []string{"x.yaml:12: pods[1]: a group named a is there already"}},
		"same policy":        {swap("name: fixed", "name: none"), []string{"x.yaml:18: policies[1]: a policy named none is there already"}},
		"negative cpu":       {swap("cpu: 3s", "cpu: -3s"), []string{"x.yaml:6: pods[0].startup.cpu", "negative"}},
		"long cpu":           {swap("cpu: 3s", "cpu: 3h"), []string{"x.yaml:6: pods[0].startup.cpu: 3h is out of range"}},
		"odd bytes":          {swap("64Mi", "64MB"), []string{`x.yaml:6: pods[0].startup.read: "64MB" is not an amount`}},
		"too many bytes":     {swap("64Mi", "64Gi"), []string{"x.yaml:6: pods[0].startup.read: 64Gi is more than 16Gi"}},
		"part of a second":   {swap("period: 5", "period: 1500ms"), []string{"x.yaml:8: pods[0].probes.liveness.period: 1.5s is not whole seconds"}},
		"period of nothing":  {swap("period: 5", "period: 0"), []string{"x.yaml:8: pods[0].probes.liveness.period: 0s is out of range"}},
		"no failures":        {swap("failures: 2", "failures: 0"), []string{"x.yaml:8: pods[0].probes.liveness.failures"}},
		"odd probes":         {swap("probes: none", "probes: off"), []string{"x.yaml:15: pods[1].probes: want a mapping"}},
		"odd lock":           {swap("lock: none", "lock: some"), []string{`x.yaml:17: policies[0].lock: want none or {locks, lease, releaseOn}, not "some"`}},
		"no lease":           {swap("lease: 4, ", ""), []string{"x.yaml:19: policies[1].lock: lease is missing"}},
		"short lease":        {swap("lease: 4", "lease: 500ms"), []string{"x.yaml:19: policies[1].lock.lease: 500ms is out of range"}},
		"no locks":           {swap("locks: 2", "locks: 0"), []string{"x.yaml:19: policies[1].lock.locks"}},
		"odd release":        {swap("releaseOn: ready", "releaseOn: Ready"), []string{`x.yaml:19: policies[1].lock.releaseOn: "Ready" is none of [timeout started ready]`}},
		"ready too many":     {swap("ready: all", "ready: 4"), []string{"x.yaml:20: policies[1].expect.ready: 4 is more than the 3 pods"}},
		"odd range":          {swap("{most: 2}", "{max: 2}"), []string{`x.yaml:20: policies[1].expect.starters: unknown key "max"; known are least, most`}},
		"empty range":        {swap("{most: 2}", "{}"), []string{"x.yaml:20: policies[1].expect.starters: empty"}},
		"crossed range":      {swap("most: 1.5", "most: 0.5"), []string{"x.yaml:20: policies[1].expect.ratio: least 1 is above most 0.5"}},
		"odd place":          {swap("kind:", "moon:"), []string{`x.yaml:20: policies[1].expect: unknown key "moon"`}},
		"place in a place":   {swap("kind: {grants", "kind: {local"), []string{`x.yaml:20: policies[1].expect.kind: unknown key "local"`}},
		"not a number":       {swap("most: 1.5", "most: .nan"), []string{"policies[1].expect.ratio.most"}},
		"no pods":            {"name: a\nnode: {cores: 1}\npods: []\npolicies: []\n", []string{"x.yaml:3: pods: empty", "x.yaml:4: policies: empty"}},
		"too many pods":      {swap("count: 2", "count: 1000"), []string{"x.yaml:4: pods: 1001 are too many"}},
		"an alias": {"name: a\nnode: &n {cores: 1}\npods: *n\npolicies: *n\n", []string{
			"x.yaml:3: pods: want a list (- …), not an alias (*n)", "x.yaml:4: policies",
		}},
		"all at once": {"name: 1\nnode: {cores: x}\nsize: 3\npods: 7\n", []string{
			"x.yaml:1: name", "x.yaml:2: node.cores", `x.yaml:3: scenario: unknown key "size"`, "x.yaml:4: pods: want a list", "policies is missing",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := spec.Parse("x.yaml", []byte(test.yaml))
			if err == nil {
				t.Fatalf("no error, but %+v", s)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the answer lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	s, err := spec.Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		names []string
		want  []string
		err   string
	}{
		"all":          {nil, []string{"none", "fixed"}, ""},
		"one":          {[]string{"fixed"}, []string{"fixed"}, ""},
		"order kept":   {[]string{"fixed", "none", "fixed"}, []string{"none", "fixed"}, ""},
		"all unknown":  {[]string{"a", "none", "b"}, nil, "--policy a: the scenario two has no such policy; it has [none fixed]\n--policy b"},
		"unknown once": {[]string{"a", "a"}, nil, "--policy a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := s.Select(test.names...)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			var names []string
			for _, p := range got {
				names = append(names, p.Name)
			}
			if err != nil || !reflect.DeepEqual(names, test.want) {
				t.Errorf("got %v, %v, want %v", names, err, test.want)
			}
		})
	}
}

func TestLockInWords(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	for want, lock := range map[string]*spec.Lock{
		"no lock":                              nil,
		"1 slot, lease 4s":                     {Locks: 1, Lease: 4 * second},
		"3 slots, lease 1m30s":                 {Locks: 3, Lease: 90 * second, ReleaseOn: lockapi.ReleaseOnTimeout},
		"slots follow the node, lease 4s":      {Auto: true, Lease: 4 * second},
		"the best number of slots, lease 4s":   {Oracle: true, Lease: 4 * second},
		"2 slots, lease 2m, released on ready": {Locks: 2, Lease: 120 * second, ReleaseOn: lockapi.ReleaseOnReady},
	} {
		if got := lock.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want spec.Bytes
		text string
		bad  bool
	}{
		"0": {0, "0", false}, "1000": {1000, "1000", false}, "1024": {1024, "1Ki", false}, "64Mi": {64 << 20, "64Mi", false},
		"1024Mi": {1 << 30, "1Gi", false}, "3Ki": {3072, "3Ki", false},
		"": {bad: true}, "-1": {bad: true}, "1.5Mi": {bad: true}, "Mi": {bad: true}, "9223372036854775807Ki": {bad: true}, "1M": {bad: true},
	}
	for in, test := range tests {
		got, err := spec.ParseBytes(in)
		if (err != nil) != test.bad || got != test.want {
			t.Errorf("%q: got %d, %v", in, got, err)
		} else if err == nil && got.String() != test.text {
			t.Errorf("%q: written as %s, want %s", in, got, test.text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(rough))
	f.Add([]byte(shared))
	for _, path := range []string{"../herd.yaml", "../light.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? [1]: 2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := spec.Parse("f.yaml", data)
		if err != nil {
			if s != nil || err.Error() == "" {
				t.Fatalf("an error that says %q beside %+v", err, s)
			}
			return
		}
		if s.Name == "" || s.Node.Cores < 1 || s.Count() < 1 || s.Count() > 1000 || len(s.Policies) == 0 || s.CPU() < 0 {
			t.Fatalf("let through: %+v", s)
		}
	})
}
