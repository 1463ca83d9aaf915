// The watch, end to end, against an API server that breaks, forgets and refuses.

package nodewatch

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// patience is for what must happen, however slow the machine is.
const patience = 30 * time.Second

func testConfig() Config {
	return Config{Node: thisNode, PodNamespace: "kube-system", PodName: "health-pod", InitContainers: []string{guardName}}
}

// watch runs a watcher until the test is over.
func watch(t *testing.T, cfg Config, sources Sources) *Watcher {
	t.Helper()
	w := New(cfg, sources, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

func connect(t *testing.T, f *fakeAPI) Sources {
	t.Helper()
	sources, err := Connect(f.config(), thisNode)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// until waits for the view to be as it should.
func until(t *testing.T, w *Watcher, what string, ok func(n *healthapi.Node) bool) *healthapi.Node {
	t.Helper()
	late := time.After(patience)
	for {
		changed := w.Changed()
		n := w.Node()
		if ok(n) {
			return n
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("waited for %s; the view is %+v", what, *n)
		}
	}
}

func synced(n *healthapi.Node) bool { return n.Synced && n.API.Connected }

// pods is true when these are the pods, by name.
func pods(names ...string) func(*healthapi.Node) bool {
	return func(n *healthapi.Node) bool {
		return slices.EqualFunc(n.Pods, names, func(p healthapi.Pod, name string) bool { return p.Name == name })
	}
}

// eventually waits for what no view shows.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// bothWays runs a test with a modern API server, and an old one.
func bothWays(t *testing.T, test func(t *testing.T, f *fakeAPI)) {
	t.Helper()
	for name, modern := range map[string]bool{"protobuf, streamed lists": true, "JSON, plain lists": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAPI(t, modern)
			f.put(newNode())
			test(t, f)
		})
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		ds := newDaemonSet("proxy", generation(1))
		f.put(ds, newPod("web", guarded(running(5, true))), newPod("proxy-pod", podOf(ds, 1), ready(true, 3)))
		f.put(newPod("elsewhere", func(p *corev1.Pod) { p.Spec.NodeName = "node-2" }), newNode(func(n *corev1.Node) { n.Name = "node-2" }))
		w := watch(t, testConfig(), connect(t, f))
		n := until(t, w, "the first view", synced)
		if !n.Healthy || len(n.Reasons) > 0 || n.Name != thisNode || n.API.Since.IsZero() || n.API.Error != "" {
			t.Errorf("view: %+v", n)
		}
		if !pods("web", "proxy-pod")(n) || n.Pods[0].State != healthapi.PodWaiting || n.Pods[1].State != healthapi.PodReady {
			t.Errorf("pods: %+v", n.Pods)
		}
		if len(n.DaemonSets) != 1 || !n.DaemonSets[0].Ready || n.DaemonSets[0].Name != "proxy" {
			t.Errorf("DaemonSets: %+v", n.DaemonSets)
		}

		f.put(newPod("web", guarded(done(0, 5, 9)), app(running(10, false))))
		until(t, w, "web to start", func(n *healthapi.Node) bool {
			return n.Pods[0].State == healthapi.PodStarting && n.Pods[0].Passed.Equal(at(9))
		})
		f.put(newPod("proxy-pod", podOf(ds, 1), ready(false, 20), app(waiting("CrashLoopBackOff"))))
		until(t, w, "the DaemonSet not to be ready", func(n *healthapi.Node) bool {
			return !n.Healthy && slices.Equal(n.Reasons, []string{"DaemonSet kube-system/proxy: pod not Ready (CrashLoopBackOff)"})
		})
		f.remove(newPod("web"))
		until(t, w, "web to go", pods("proxy-pod"))
		f.put(newNode(nodeIs(corev1.NodeReady, corev1.ConditionFalse, "", "sick")))
		w.SetLoad(&healthapi.Load{CPU: 93, Threshold: 80})
		until(t, w, "all reasons in order", func(n *healthapi.Node) bool {
			return slices.Equal(n.Reasons, []string{"node is not Ready: sick", "DaemonSet kube-system/proxy: pod not Ready (CrashLoopBackOff)",
				"node load: CPU at 93 %, threshold 80 %"})
		})
		w.SetLoad(&healthapi.Load{Threshold: 80, Error: "node load: no metrics"})
		f.remove(ds)
		f.put(newNode())
		until(t, w, "the load to be unknown", func(n *healthapi.Node) bool { return slices.Equal(n.Reasons, []string{"node load: no metrics"}) })
		w.SetLoad(&healthapi.Load{CPU: 79, Threshold: 80})
		until(t, w, "health", func(n *healthapi.Node) bool { return n.Healthy && n.Load.CPU == 79 })
	})
}

func TestNothingIsKnownAtFirst(t *testing.T) {
	t.Parallel()
	w := New(testConfig(), Sources{API: func() healthapi.API { return healthapi.API{} }}, slog.New(slog.DiscardHandler))
	n := w.Node()
	if n.Synced || n.Healthy || n.Pods == nil || len(n.Pods) > 0 ||
		!slices.Equal(n.Reasons, []string{"nothing is known of the node yet: waiting for pods, DaemonSets, the Node object"}) {
		t.Errorf("view: %+v", n)
	}
}

func TestBrokenConnectionLosesNoEvent(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.put(newPod("a"), newPod("b"))
		w := watch(t, testConfig(), connect(t, f))
		first := until(t, w, "the first view", synced)
		for range 3 {
			opened := len(f.asked("watch pods"))
			f.put(newPod("b", app(running(1, true)))) // on its way, perhaps
			f.cut(false)
			f.remove(newPod("b"))
			f.put(newPod("c"))
			until(t, w, "what happened meanwhile", pods("a", "c"))
			eventually(t, "a new watch", func() bool { return len(f.asked("watch pods")) > opened })
			f.remove(newPod("c"))
			f.put(newPod("b"))
			until(t, w, "what happened afterwards", pods("a", "b"))
		}
		if n := w.Node(); !n.API.Connected || !n.API.Since.Equal(first.API.Since) {
			t.Errorf("a watch that is opened again at once counts as away: %+v, before %+v", n.API, first.API)
		}
	})
}

// resourceVersion is where the last of these requests begins.
func resourceVersion(t *testing.T, requests []string) int {
	t.Helper()
	_, query, _ := strings.Cut(requests[len(requests)-1], "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	version, _ := strconv.Atoi(q.Get("resourceVersion"))
	return version
}

func TestBookmarkMovesTheNextWatch(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.put(newPod("a"))
		w := watch(t, testConfig(), connect(t, f))
		until(t, w, "the first view", synced)
		opened := len(f.asked("watch pods"))
		f.put(newPod("b", func(p *corev1.Pod) { p.Spec.NodeName = "node-2" })) // the watch does not see it
		version := f.bookmark()
		eventually(t, "a new watch", func() bool { return len(f.asked("watch pods")) > opened })
		if got := resourceVersion(t, f.asked("watch pods")); got != version {
			t.Errorf("the new watch begins at %d, the bookmark was %d", got, version)
		}
		f.put(newPod("c"))
		until(t, w, "the next event", pods("a", "c"))
	})
}

func TestGoneLeadsToANewList(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.put(newPod("a"), newPod("b"))
		w := watch(t, testConfig(), connect(t, f))
		until(t, w, "the first view", synced)
		f.mu.Lock() // no watch hears of it
		delete(f.objects[podsResource], "default/b")
		f.mu.Unlock()
		f.forget()
		f.cut(false)
		until(t, w, "b to be gone", pods("a"))
		f.put(newPod("c"))
		until(t, w, "the next event", pods("a", "c"))
	})
}

func TestRefusalSaysWhatToGrant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		refuse     []string
	}{
		{"list DaemonSets", "not permitted to list daemonsets.apps: grant health's ServiceAccount the verbs list and watch on them", []string{"list daemonsets", "watch daemonsets"}},
		{"watch nodes", "not permitted to watch nodes: grant health's ServiceAccount the verbs list and watch on them", []string{"watch nodes"}},
		{"list pods", "not permitted to list pods: grant health's ServiceAccount the verbs list and watch on them", []string{"list pods", "watch pods"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, f *fakeAPI) {
				f.refuse(tt.refuse...)
				w := watch(t, testConfig(), connect(t, f))
				n := until(t, w, "the refusal", func(n *healthapi.Node) bool { return n.API.Connected && slices.Contains(n.Reasons, tt.want) })
				if n.Healthy || n.Reasons[0] != tt.want {
					t.Errorf("view: %+v", n)
				}
				f.refuse()
				until(t, w, "health once it is granted", func(n *healthapi.Node) bool { return n.Healthy && n.Synced })
			})
		})
	}
}

func TestWhatIsNotWaitedForNeedsNoPermission(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.refuse("list daemonsets", "watch daemonsets")
		cfg := testConfig()
		cfg.DaemonSets.Disabled = true
		w := watch(t, cfg, connect(t, f))
		if n := until(t, w, "the first view", synced); !n.Healthy {
			t.Errorf("reasons: %q", n.Reasons)
		}
		if asked := f.asked("list daemonsets"); len(asked) > 0 {
			t.Errorf("asked: %q", asked)
		}
	})
}

func TestUnknownNode(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.put(newDaemonSet("proxy"))
		f.remove(newNode())
		w := watch(t, testConfig(), connect(t, f))
		n := until(t, w, "the first view", synced)
		if n.Healthy || !slices.Equal(n.Reasons, []string{`node "node-1" is not in the cluster: check --node-name`}) {
			t.Errorf("view: %+v", n)
		}
		f.put(newNode())
		until(t, w, "the node", func(n *healthapi.Node) bool {
			return slices.Equal(n.Reasons, []string{"DaemonSet kube-system/proxy: no pod here yet"})
		})
	})
}

func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, f *fakeAPI) {
		f.put(newPod("a"), newPod("b"))
		w := watch(t, testConfig(), connect(t, f))
		before := until(t, w, "the first view", synced)
		broken := time.Now()
		f.cut(true)
		n := until(t, w, "the loss", func(n *healthapi.Node) bool { return !n.API.Connected })
		if !n.Healthy || !n.Synced || !pods("a", "b")(n) {
			t.Errorf("what was known is lost: %+v", n)
		}
		if since := n.API.Since; since.Before(broken.Add(-time.Millisecond)) || since.After(broken.Add(patience)) || n.API.Error == "" {
			t.Errorf("API: %+v, broken at %s", n.API, broken)
		}
		f.put(newPod("c"))
		f.remove(newPod("a"))
		f.cut(false)
		n = until(t, w, "what happened meanwhile", func(n *healthapi.Node) bool { return n.API.Connected && pods("b", "c")(n) })
		if !n.Healthy || n.API.Error != "" || !n.API.Since.After(before.API.Since) {
			t.Errorf("view: %+v", n)
		}
	})
}

func TestAPIServerAwayFromTheStart(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, true)
	f.put(newNode())
	f.cut(true)
	w := watch(t, testConfig(), connect(t, f))
	n := until(t, w, "the error", func(n *healthapi.Node) bool { return n.API.Error != "" })
	if n.Synced || n.API.Connected || !slices.Equal(n.Reasons, []string{"nothing is known of the node yet: " + n.API.Error}) {
		t.Errorf("view: %+v", n)
	}
	f.cut(false)
	until(t, w, "the first view", synced)
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, true)
	f.Close()
	w := watch(t, testConfig(), connect(t, f))
	until(t, w, "the error", func(n *healthapi.Node) bool { return strings.HasSuffix(n.API.Error, "connection refused") })
}

func TestNoWaitOutlivesItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, done := time.Now(), make(chan struct{})
		<-impatient{done: done}.After(time.Minute)
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("waited %s", waited)
		}
		time.AfterFunc(time.Second, func() { close(done) })
		<-impatient{done: done}.After(time.Hour)
		if waited := time.Since(start); waited != time.Minute+time.Second {
			t.Errorf("waited until %s", waited)
		}
	})
}
