// An API server, as far as a nodewatch needs one: it lists and watches in JSON.

package nodewatch

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

type fakeAPI struct {
	*httptest.Server
	streams bool // it streams lists; otherwise it refuses to, as old servers do

	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, with every change
	version  int
	oldest   int // versions before it are forgotten
	objects  map[string]map[string]object
	log      []change
	refuses  []string // such as "list pods"
	down     bool     // it breaks all connections, and every new one
	requests []string // such as "watch pods?resourceVersion=7"
}

// change is one line of some watches.
type change struct {
	version  int
	resource string
	object   metav1.Object
	line     []byte
}

func newFakeAPI(t *testing.T, streams bool) *fakeAPI {
	t.Helper()
	f := &fakeAPI{streams: streams, changed: make(chan struct{}), version: 1, objects: map[string]map[string]object{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *fakeAPI) config() *rest.Config { return &rest.Config{Host: f.URL, QPS: -1} }

// kinds are those of the resources.
func kinds(resource string) schema.GroupVersionKind {
	switch resource {
	case podsResource:
		return corev1.SchemeGroupVersion.WithKind("Pod")
	case nodesResource:
		return corev1.SchemeGroupVersion.WithKind("Node")
	default:
		return appsv1.SchemeGroupVersion.WithKind("DaemonSet")
	}
}

func resourceOf(o object) string {
	switch o.(type) {
	case *corev1.Pod:
		return podsResource
	case *corev1.Node:
		return nodesResource
	default:
		return daemonSetsResource
	}
}

// put makes o, or makes it what it is now.
func (f *fakeAPI) put(all ...object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range all {
		resource := resourceOf(o)
		o = o.DeepCopyObject().(object)
		o.GetObjectKind().SetGroupVersionKind(kinds(resource))
		what := "ADDED"
		if f.objects[resource] == nil {
			f.objects[resource] = map[string]object{}
		}
		if _, ok := f.objects[resource][key(o).String()]; ok {
			what = "MODIFIED"
		}
		f.objects[resource][key(o).String()] = o
		f.note(what, resource, o)
	}
}

func (f *fakeAPI) remove(o object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	resource := resourceOf(o)
	was := f.objects[resource][key(o).String()]
	delete(f.objects[resource], key(o).String())
	f.note("DELETED", resource, was.DeepCopyObject().(object))
}

// bookmark tells all watches of pods how far they are, though no pod changed.
func (f *fakeAPI) bookmark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.log = append(f.log, change{version: f.version, resource: podsResource, line: bookmark(podsResource, f.version, false)})
	f.wake()
	return f.version
}

// forget compacts all history.
func (f *fakeAPI) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.oldest, f.log = f.version, nil
}

func (f *fakeAPI) refuse(requests ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = requests
}

// cut breaks all connections. As long as it is down, every new one breaks as well.
func (f *fakeAPI) cut(down bool) {
	f.mu.Lock()
	f.down = down
	f.mu.Unlock()
	f.CloseClientConnections()
}

// asked are the requests so far that begin with prefix.
func (f *fakeAPI) asked(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(s string) bool { return !strings.HasPrefix(s, prefix) })
}

// note needs mu.
func (f *fakeAPI) note(what, resource string, o object) {
	f.version++
	o.SetResourceVersion(strconv.Itoa(f.version))
	f.log = append(f.log, change{f.version, resource, o, event(what, o)})
	f.wake()
}

// wake needs mu.
func (f *fakeAPI) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func event(what string, o any) []byte {
	line, err := json.Marshal(map[string]any{"type": what, "object": o})
	if err != nil {
		panic(err)
	}
	return append(line, '\n')
}

func bookmark(resource string, version int, listed bool) []byte {
	apiVersion, kind := kinds(resource).ToAPIVersionAndKind()
	meta := map[string]any{"resourceVersion": strconv.Itoa(version)}
	if listed {
		meta["annotations"] = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return event("BOOKMARK", map[string]any{"kind": kind, "apiVersion": apiVersion, "metadata": meta})
}

func failure(code int, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message}
}

func fail(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(failure(code, reason, message))
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource, q := path.Base(r.URL.Path), r.URL.Query()
	verb := "list"
	if q.Get("watch") == "true" {
		verb = "watch"
	}
	f.mu.Lock()
	f.requests = append(f.requests, verb+" "+resource+"?"+r.URL.RawQuery)
	down, refused, version, oldest := f.down, slices.Contains(f.refuses, verb+" "+resource), f.version, f.oldest
	from := version
	var list []object
	for _, o := range f.objects[resource] {
		if selected(q.Get("fieldSelector"), o) {
			list = append(list, o)
		}
	}
	f.mu.Unlock()

	switch {
	case down:
		panic(http.ErrAbortHandler)
	case refused:
		fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no, you cannot "+verb+" "+resource)
		return
	case q.Get("sendInitialEvents") == "true" && !f.streams:
		fail(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents: Forbidden")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if verb == "list" {
		apiVersion, kind := kinds(resource).ToAPIVersionAndKind()
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": kind + "List", "apiVersion": apiVersion,
			"metadata": map[string]any{"resourceVersion": strconv.Itoa(version)}, "items": list})
		return
	}
	flush := http.NewResponseController(w).Flush
	if q.Get("sendInitialEvents") == "true" {
		for _, o := range list {
			_, _ = w.Write(event("ADDED", o))
		}
		_, _ = w.Write(bookmark(resource, version, true))
	} else if from, _ = strconv.Atoi(q.Get("resourceVersion")); from < oldest {
		_, _ = w.Write(event("ERROR", failure(http.StatusGone, metav1.StatusReasonExpired, "too old resource version")))
		return
	}
	for flush() == nil {
		f.mu.Lock()
		log, changed := f.log, f.changed
		f.mu.Unlock()
		for _, c := range log {
			if c.version > from && c.resource == resource && (c.object == nil || selected(q.Get("fieldSelector"), c.object)) {
				_, _ = w.Write(c.line)
				from = c.version
			}
		}
		if flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// selected knows the two selectors that matter.
func selected(selector string, o metav1.Object) bool {
	field, value, _ := strings.Cut(selector, "=")
	pod, _ := o.(*corev1.Pod)
	switch field {
	case "":
		return true
	case "metadata.name":
		return o.GetName() == value
	case "spec.nodeName":
		return pod != nil && pod.Spec.NodeName == value
	default:
		return false
	}
}
