package kind

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pod-startup-lock/pod-startup-lock/e2e/cluster"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

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
