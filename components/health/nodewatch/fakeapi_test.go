// An API server, as far as a nodewatch needs one: it lists and watches.

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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

type fakeAPI struct {
	*httptest.Server
	modern bool // it streams lists, and speaks protobuf; otherwise it refuses to, as old servers do, and speaks JSON

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
	what     apiwatch.EventType
	object   object
	ends     bool // the watch, as its time is over
}

func newFakeAPI(t *testing.T, modern bool) *fakeAPI {
	t.Helper()
	f := &fakeAPI{modern: modern, changed: make(chan struct{}), version: 1, objects: map[string]map[string]object{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *fakeAPI) config() *rest.Config { return &rest.Config{Host: f.URL, QPS: -1} }

// empty is an object of a resource, and a list of them.
func empty(resource string) (object, runtime.Object) {
	switch resource {
	case podsResource:
		return &corev1.Pod{}, &corev1.PodList{}
	case nodesResource:
		return &corev1.Node{}, &corev1.NodeList{}
	default:
		return &appsv1.DaemonSet{}, &appsv1.DaemonSetList{}
	}
}

func groupVersion(resource string) schema.GroupVersion {
	if resource == daemonSetsResource {
		return appsv1.SchemeGroupVersion
	}
	return corev1.SchemeGroupVersion
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
		what := apiwatch.Added
		if f.objects[resource] == nil {
			f.objects[resource] = map[string]object{}
		}
		if _, ok := f.objects[resource][key(o).String()]; ok {
			what = apiwatch.Modified
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
	f.note(apiwatch.Deleted, resource, was.DeepCopyObject().(object))
}

// bookmark tells all watches of pods how far they are, though no pod changed,
// and ends them.
func (f *fakeAPI) bookmark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.log = append(f.log, change{version: f.version, resource: podsResource, what: apiwatch.Bookmark, object: bookmark(podsResource, f.version, false), ends: true})
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
func (f *fakeAPI) note(what apiwatch.EventType, resource string, o object) {
	f.version++
	o.SetResourceVersion(strconv.Itoa(f.version))
	f.log = append(f.log, change{version: f.version, resource: resource, what: what, object: o})
	f.wake()
}

// wake needs mu.
func (f *fakeAPI) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func bookmark(resource string, version int, listed bool) object {
	o, _ := empty(resource)
	o.SetResourceVersion(strconv.Itoa(version))
	if listed {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return o
}

func failure(code int, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
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
	var list []runtime.Object
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
	case q.Get("sendInitialEvents") == "true" && !f.modern:
		fail(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents: Forbidden")
		return
	}
	encode, send := f.speak(w, resource)
	if verb == "list" {
		_, all := empty(resource)
		_ = meta.SetList(all, list)
		all.(metav1.ListInterface).SetResourceVersion(strconv.Itoa(version))
		_, _ = w.Write(encode(all))
		return
	}
	flush := http.NewResponseController(w).Flush
	if q.Get("sendInitialEvents") == "true" {
		for _, o := range list {
			send(apiwatch.Added, o)
		}
		send(apiwatch.Bookmark, bookmark(resource, version, true))
	} else if from, _ = strconv.Atoi(q.Get("resourceVersion")); from < oldest {
		send(apiwatch.Error, failure(http.StatusGone, metav1.StatusReasonExpired, "too old resource version"))
		return
	}
	for flush() == nil {
		f.mu.Lock()
		log, changed := f.log, f.changed
		f.mu.Unlock()
		for _, c := range log {
			if c.version > from && c.resource == resource && (c.what == apiwatch.Bookmark || selected(q.Get("fieldSelector"), c.object)) {
				send(c.what, c.object)
				from = c.version
				if c.ends {
					return
				}
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

// speak begins an answer in the server's language.
func (f *fakeAPI) speak(w http.ResponseWriter, resource string) (encode func(runtime.Object) []byte, send func(apiwatch.EventType, runtime.Object)) {
	media := runtime.ContentTypeJSON
	if f.modern {
		media = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media)
	encode = func(o runtime.Object) []byte {
		b, err := runtime.Encode(scheme.Codecs.EncoderForVersion(info.Serializer, groupVersion(resource)), o.DeepCopyObject()) // it writes the kind into it
		if err != nil {
			panic(err)
		}
		return b
	}
	frames := info.StreamSerializer.NewFrameWriter(w)
	send = func(what apiwatch.EventType, o runtime.Object) {
		_ = info.StreamSerializer.Encode(&metav1.WatchEvent{Type: string(what), Object: runtime.RawExtension{Raw: encode(o)}}, frames)
	}
	return encode, send
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
