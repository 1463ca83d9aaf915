package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

func stamp(s int) metav1.Time { return metav1.NewTime(at(float64(s))) }

// state is a pod as the API server tells it, made from what matters here.
type state struct {
	running    string // container id
	since      int
	terminated bool // the running one has ended by now, at ended
	last       string
	ended      int
	restarts   int32
	ready      int // since when; 0 is not
}

func (s state) pod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "1"}, Spec: corev1.PodSpec{NodeName: "worker"}}
	app := corev1.ContainerStatus{Name: appName, ContainerID: s.running, RestartCount: s.restarts}
	if s.running != "" && !s.terminated {
		app.State.Running = &corev1.ContainerStateRunning{StartedAt: stamp(s.since)}
	}
	end := &corev1.ContainerStateTerminated{ContainerID: s.last, StartedAt: stamp(s.ended - 2), FinishedAt: stamp(s.ended), ExitCode: 137, Reason: "OOMKilled"}
	if s.terminated {
		end.ContainerID = s.running
		app.State.Terminated = end
	} else if s.last != "" {
		app.LastTerminationState.Terminated = end
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar"}, app}
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: stamp(s.ended)}
	if s.ready > 0 {
		condition.Status, condition.LastTransitionTime = corev1.ConditionTrue, stamp(s.ready)
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, condition}
	return pod
}

func TestWhatHappenedBetweenTwoStates(t *testing.T) {
	t.Parallel()
	type told struct {
		at float64
		state
	}
	const end = " stopped OOMKilled, exit code 137"
	tests := map[string]struct {
		told []told
		want []string
	}{
		"a good start": {
			[]told{{0.2, state{}}, {3.4, state{running: "a", since: 3}}, {3.5, state{running: "a", since: 3}}, {6.2, state{running: "a", since: 3, ready: 6}}},
			[]string{"3.4 started", "6.2 ready"},
		},
		"heard late": {
			[]told{{9, state{running: "a", since: 3}}, {9.1, state{running: "a", since: 3, ready: 6}}},
			[]string{"4 started", "7 ready"},
		},
		"all in one": {
			[]told{{6.5, state{running: "a", since: 3, ready: 6}}},
			[]string{"4 started", "6.5 ready"},
		},
		"killed and restarted, told in two": {
			[]told{
				{1, state{running: "a", since: 1}}, {15.5, state{running: "a", since: 1, terminated: true, ended: 15}},
				{25.5, state{running: "b", since: 25, last: "a", ended: 15, restarts: 1}},
			},
			[]string{"1 started", "15.5" + end, "25.5 started"},
		},
		"killed and restarted, told in one": {
			[]told{{1, state{running: "a", since: 1}}, {16.5, state{running: "b", since: 16, last: "a", ended: 15, restarts: 1}}},
			[]string{"1 started", "16" + end, "16.5 started"},
		},
		"one that came and went unseen": {
			[]told{{1, state{running: "a", since: 1}}, {9.5, state{running: "c", since: 9, last: "b", ended: 8, restarts: 2}}},
			[]string{"1 started", "7 started", "9" + end, "9.5 started"},
		},
		"readiness lost": {
			[]told{{1, state{running: "a", since: 1, ready: 1}}, {5.5, state{running: "a", since: 1, ended: 5}}},
			[]string{"1 started", "1 ready", "5.5 unready"},
		},
		"Ready since before the start": {
			[]told{{5, state{}}, {9.4, state{running: "a", since: 9, ready: 3}}},
			[]string{"9.4 started", "9.4 ready"},
		},
		"Ready means nothing before the start": {
			[]told{{1, state{ready: 1}}},
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s seen
			var got []string
			for _, told := range test.told {
				for _, e := range s.update(told.pod(), at(told.at)) {
					got = append(got, strings.TrimSpace(fmt.Sprintf("%g %s %s", e.at.Sub(noon).Seconds(), e.what, e.note)))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ status, heard, want float64 }{
		"heard within the second": {3, 3.4, 3.4},
		"heard late":              {3, 5, 4},
		"a clock that is ahead":   {3, 2.5, 2.5},
	} {
		if got := moment(at(test.status), at(test.heard)); !got.Equal(at(test.want)) {
			t.Errorf("%s: %v", name, got.Sub(noon))
		}
	}
	if got := moment(time.Time{}, at(1)); !got.Equal(at(1)) {
		t.Errorf("no status: %v", got)
	}
}

// is tells whether a channel is closed.
func is(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func newTestWatcher(s *spec.Scenario, pods []record.Pod) *watcher {
	return newWatcher(pods, Herd{}.expected, func(at time.Time) *record.Log { return record.NewLog(On, s, spec.Policy{}, pods, at) })
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	w := newTestWatcher(&spec.Scenario{Name: "s"}, []record.Pod{{Name: "a", UID: "1"}})
	pending := state{}.pod()
	pending.Spec.NodeName = ""
	w.see(pending, at(1))
	foreign := state{running: "x", since: 1, ready: 1}.pod()
	foreign.UID = types.UID("other")
	w.see(foreign, at(2))
	if is(w.started) {
		t.Fatal("the herd appeared before a pod of it was placed")
	}
	w.see(state{}.pod(), at(3))
	if !is(w.started) || is(w.life().ready) {
		t.Fatal("placed, and not Ready")
	}
	w.see(state{running: "a", since: 5, ready: 5}.pod(), at(5.5))
	if !is(w.life().ready) {
		t.Fatal("not all Ready")
	}
	w.see(state{running: "a", since: 5, ready: 5}.pod(), at(6)) // once more does no harm
	run := w.life().log.Snapshot(at(7))
	if started, _ := run.Pods[0].First(record.Started); run.On != On || started != 2.5 || run.Ended != 4 {
		t.Errorf("%+v", run)
	}
}

func TestASecondLifeBeginsWithANewContainer(t *testing.T) {
	t.Parallel()
	w := newTestWatcher(&spec.Scenario{Name: "s"}, []record.Pod{{Name: "a", UID: "1"}})
	old := state{running: "a", since: 5, ready: 6, restarts: 1}
	w.see(state{}.pod(), at(3))
	w.see(old.pod(), at(6.5))
	first := w.life()
	second := w.reborn(at(10))
	for i, s := range []state{
		old, // nobody told the API server yet
		{running: "a", terminated: true, ended: 11, restarts: 1},
		{running: "", last: "a", ended: 11, restarts: 1},
	} {
		w.see(s.pod(), at(11+float64(i)))
	}
	if got := second.log.Snapshot(at(14)).Pods[0].Events; len(got) != 0 || is(second.ready) {
		t.Errorf("of the former life: %v", got)
	}
	again := state{running: "b", since: 20, last: "a", ended: 11, restarts: 2}
	w.see(again.pod(), at(20.5))
	again.ready = 24
	w.see(again.pod(), at(24.5))
	run := second.log.Snapshot(at(30))
	if ready, _ := run.Pods[0].ReadyAt(); !is(second.ready) || ready != 14.5 || len(run.Pods[0].Restarts()) != 0 {
		t.Errorf("the second life: %+v", run.Pods[0].Events)
	}
	w.see(state{running: "d", since: 28, last: "c", ended: 27, restarts: 4}.pod(), at(28.5))
	if n := len(second.log.Snapshot(at(30)).Pods[0].Restarts()); n != 2 {
		t.Errorf("%d restarts in the second life, want the one that was seen and the one before it", n)
	}
	if ready, ok := first.log.Snapshot(at(30)).Pods[0].ReadyAt(); !ok || ready != 3.5 {
		t.Errorf("the first life changed: Ready at %v, %v", ready, ok)
	}
}

func TestWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		herd  Herd
		pods  []record.Pod
		ready []string // become so
		gone  []string
		want  bool
	}{
		"everybody":           {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1"}, nil, false},
		"the faulty are not":  {Herd{}, []record.Pod{{UID: "1"}, {UID: "2", Fault: spec.NoImage}}, []string{"1"}, nil, true},
		"nor are the deleted": {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1"}, []string{"2"}, true},
		"deleted when Ready":  {Herd{}, []record.Pod{{UID: "1"}, {UID: "2"}}, []string{"1", "2"}, []string{"2"}, true},
		"others are": {
			Herd{Expected: func(p *record.Pod) bool { return p.UID == "2" }}, []record.Pod{{UID: "1"}, {UID: "2", Fault: spec.NoImage}},
			[]string{"1"}, nil, false,
		},
		"unless they are deleted": {
			Herd{Expected: func(p *record.Pod) bool { return p.UID == "2" }}, []record.Pod{{UID: "1"}, {UID: "2"}},
			[]string{"1"}, []string{"2"}, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatcher(test.pods, test.herd.expected, func(at time.Time) *record.Log {
				return record.NewLog(On, &spec.Scenario{}, spec.Policy{}, test.pods, at)
			})
			handler := w.handler()
			for _, p := range test.pods {
				pod := state{}.pod()
				pod.UID = types.UID(p.UID)
				handler.OnAdd(pod, false)
			}
			for _, uid := range test.ready {
				pod := state{running: "a", since: 1, ready: 2}.pod()
				pod.UID = types.UID(uid)
				handler.OnUpdate(nil, pod)
			}
			for _, uid := range test.gone {
				pod := state{}.pod()
				pod.UID = types.UID(uid)
				handler.OnDelete(cache.DeletedFinalStateUnknown{Obj: pod})
			}
			if got := is(w.life().ready); got != test.want {
				t.Errorf("complete: %v, want %v", got, test.want)
			}
		})
	}
}

func TestDaemonSetsAreReadySinceTheSecondThatTheKubeletSays(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{DaemonSets: []spec.DaemonSet{{Name: "early"}, {Name: "slow"}, {Name: "far", Elsewhere: spec.ByTaint}}}
	w := newTestWatcher(s, []record.Pod{{Name: "a", UID: "1"}})
	daemon := func(uid, owner string, s state) *corev1.Pod {
		pod, yes := s.pod(), true
		pod.UID, pod.OwnerReferences = types.UID(uid), []metav1.OwnerReference{{Kind: "DaemonSet", Name: owner, Controller: &yes}}
		return pod
	}
	w.see(daemon("8", "early", state{running: "x", since: 1, ready: 2}), at(2.9))
	w.see(state{}.pod(), at(3))
	w.see(daemon("9", "slow", state{running: "y", since: 3}), at(4))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ready: 23}), at(23.7))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ended: 30}), at(30.5))
	w.see(daemon("9", "slow", state{running: "y", since: 3, ready: 31}), at(31.5))
	for _, d := range w.life().log.Snapshot(at(40)).DaemonSets {
		want, ok := map[string]float64{"early": -1, "slow": 20}[d.Name]
		if (d.ReadyAt != nil) != ok || ok && *d.ReadyAt != want {
			t.Errorf("%s: %v, want %v", d.Name, d.ReadyAt, want)
		}
	}
}

func TestALifeIsFollowedUntilAllIsComplete(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	close(ended)
	never := make(chan struct{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx           context.Context
		ready, during chan struct{}
		limit         time.Duration
		gaveUp        bool
	}{
		"complete":                        {t.Context(), ended, ended, time.Hour, false},
		"complete, with all the time":     {t.Context(), ended, ended, 0, false},
		"not Ready":                       {t.Context(), never, ended, time.Millisecond, true},
		"Ready, but something is to come": {t.Context(), ended, never, time.Millisecond, true},
		"somebody has had enough":         {over, never, never, time.Hour, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{log: record.NewLog(On, &spec.Scenario{}, spec.Policy{}, nil, time.Now()), ready: test.ready}
			gaveUp := Herd{}.accompany(test.ctx, nil, "", spec.Policy{}, test.limit, l, test.during)
			if run := l.log.Snapshot(time.Now()); gaveUp != test.gaveUp || run.GaveUp != gaveUp {
				t.Errorf("gave up: %v, in the record %v, want %v", gaveUp, run.GaveUp, test.gaveUp)
			}
		})
	}
}

func TestPod(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	h := Herd{InitImage: "init", AppImage: "app", Lock: Lock{Namespace: "ns", Service: "svc", Port: 8888}}
	group := spec.Group{
		Name: "g", Count: 1, Weight: 2, Priority: 3, Startup: spec.Startup{CPU: 3 * second, Read: 1 << 20},
		Probes: spec.Probes{Liveness: &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2}},
	}
	pod := h.pod("worker", "g-1", group, &spec.Lock{Locks: 1, Lease: 4 * second})
	if len(pod.Spec.InitContainers) != 1 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("%+v", pod.Spec)
	}
	if got, want := strings.Join(pod.Spec.InitContainers[0].Args, " "), "--host svc.ns --port 8888 --duration 4s --weight 2 --priority 3"; got != want {
		t.Errorf("init: %s, want %s", got, want)
	}
	if got, want := strings.Join(pod.Spec.Containers[0].Args, " "), "--cpu 3s --idle 0s --read 1Mi --listen :8080 --dir /data"; got != want {
		t.Errorf("app: %s, want %s", got, want)
	}
	live := pod.Spec.Containers[0].LivenessProbe
	if live.InitialDelaySeconds != 10 || live.PeriodSeconds != 5 || live.TimeoutSeconds != 1 || live.FailureThreshold != 2 || live.HTTPGet.Path != "/livez" {
		t.Errorf("liveness %+v", live)
	}
	if pod.Spec.Containers[0].ReadinessProbe != nil || pod.Spec.NodeSelector[corev1.LabelHostname] != "worker" {
		t.Error("a readiness probe from nowhere, or any node")
	}
	if plain := h.pod("worker", "g-1", group, nil); len(plain.Spec.InitContainers) != 0 {
		t.Error("an init container without a lock")
	}
}

func TestFaultyPods(t *testing.T) {
	t.Parallel()
	h := Herd{AppImage: "app"}
	for fault, want := range map[spec.Fault]string{
		spec.NeverReady: "app Never --never-ready",
		spec.CrashLoop:  "app Never --crash",
		spec.NoImage:    noImage + " IfNotPresent /data",
	} {
		app := h.pod("worker", "g-1", spec.Group{Fault: fault}, nil).Spec.Containers[0]
		if got := fmt.Sprintf("%s %s %s", app.Image, app.ImagePullPolicy, app.Args[len(app.Args)-1]); got != want {
			t.Errorf("%s: %s, want %s", fault, got, want)
		}
	}
}

func TestDaemonSetsAndTheirNodes(t *testing.T) {
	t.Parallel()
	c := &cluster.Cluster{Name: "c"}
	h := Herd{AppImage: "app"}
	for elsewhere, want := range map[spec.Elsewhere]struct{ tolerates, here bool }{
		"":              {true, true},
		spec.ByTaint:    {false, true},
		spec.ByAffinity: {true, false},
	} {
		d := h.daemonSet(c, spec.DaemonSet{Name: "d", ReadyAfter: spec.Duration(20 * time.Second), Elsewhere: elsewhere})
		pod := d.Spec.Template.Spec
		if tolerates := slices.ContainsFunc(pod.Tolerations, func(o corev1.Toleration) bool { return o.Key == taint().Key }); tolerates != want.tolerates {
			t.Errorf("%q: tolerates the taint: %v", elsewhere, tolerates)
		}
		if here := pod.Affinity == nil; here != want.here || pod.NodeSelector != nil {
			t.Errorf("%q: affinity %v, selector %v", elsewhere, pod.Affinity, pod.NodeSelector)
		}
		if !slices.Contains(pod.Containers[0].Args, "20s") || pod.Containers[0].ReadinessProbe == nil || len(pod.InitContainers) > 0 {
			t.Errorf("%q: %+v", elsewhere, pod.Containers[0])
		}
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
			t.Errorf("%q: selects other pods than its own: %v", elsewhere, err)
		}
		if herd := h.pod("w", "d-1", spec.Group{Name: "d"}, nil); selector.Matches(labels.Set(herd.Labels)) {
			t.Errorf("%q: would adopt a pod of the herd", elsewhere)
		}
	}
}

// api is an API server that knows one node, and one conflict.
func api(t *testing.T, node *corev1.Node) *cluster.Cluster {
	t.Helper()
	conflicts := 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fail := func(code int, reason metav1.StatusReason) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusFailure, Reason: reason, Code: int32(code)})
		}
		switch {
		case r.URL.Path != "/api/v1/nodes/"+node.Name:
			fail(http.StatusNotFound, metav1.StatusReasonNotFound)
		case r.Method == http.MethodPut && conflicts > 0:
			conflicts--
			fail(http.StatusConflict, metav1.StatusReasonConflict)
		case r.Method == http.MethodPut:
			*node = corev1.Node{}
			if err := json.NewDecoder(r.Body).Decode(node); err != nil {
				t.Error(err)
			}
			fallthrough
		default:
			_ = json.NewEncoder(w).Encode(node)
		}
	}))
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	config.AcceptContentTypes, config.ContentType = "application/json", "application/json"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Name: "c", Client: client}
}

func TestTheTaintComesAndGoesAlone(t *testing.T) {
	t.Parallel()
	other := corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "c-worker"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{other}}}
	c := api(t, node)
	if err := (Herd{}).taintWorker(t.Context(), c, &spec.Scenario{}, "ns"); err != nil {
		t.Fatal(err)
	}
	if want := []corev1.Taint{other, taint()}; !reflect.DeepEqual(node.Spec.Taints, want) {
		t.Errorf("taints %v, want %v", node.Spec.Taints, want)
	}
	s := &spec.Scenario{DaemonSets: []spec.DaemonSet{{Name: "d", Elsewhere: spec.ByTaint}}}
	if err := untaintWorker(t.Context(), c, s); err != nil {
		t.Fatal(err)
	}
	if want := []corev1.Taint{other}; !reflect.DeepEqual(node.Spec.Taints, want) {
		t.Errorf("taints %v, want %v", node.Spec.Taints, want)
	}
	node.Name = "gone"
	if err := untaintWorker(t.Context(), c, s); err != nil {
		t.Errorf("no worker, no taint, and yet: %v", err)
	}
}

func TestTheChartGetsThePolicy(t *testing.T) {
	t.Parallel()
	n := &Node{cluster: &cluster.Cluster{Kubeconfig: "k"}, chart: "chart"}
	got, err := json.Marshal(n.release(&spec.Lock{Locks: 2, Lease: spec.Duration(2 * time.Minute), ReleaseOn: "ready"}).Values)
	const want = `{"health":{"image":{"pullPolicy":"Never","tag":"scenarios"}},"image":{"pullPolicy":"Never","tag":"scenarios"},` +
		`"lease":"2m","lock":{"locks":2},"release":{"on":"ready"}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s\n%v", got, want, err)
	}
}
