// Both ends of a stream, and what becomes of one that is cut, silent, slow or no stream at all.

package healthapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// source is a node that changes when it is told to.
type source struct {
	mu      sync.Mutex
	node    *Node
	changed chan struct{}
}

func newSource(n *Node) *source { return &source{node: n, changed: make(chan struct{})} }

func (s *source) set(n *Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) Node() *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

func (s *source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func node(pods ...Pod) *Node {
	return &Node{Name: "n1", Status: Status{Synced: true, Healthy: true, API: API{Connected: true, Since: time.Unix(1e9, 0).UTC()}}, Pods: pods}
}

// transport answers with no network in between.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func stream(body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {contentType}}, Body: body}
}

// record is what a handler writes while a node comes to know its pods, and lives.
func record(t *testing.T) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(&Node{Name: "n1", Status: Status{Reasons: []string{"nothing is known yet"}}})
		h := NewHandler(s)
		done := make(chan struct{})
		go func() { h.Watch(w, httptest.NewRequest(http.MethodGet, PathWatch, nil)); close(done) }()
		a, b := Pod{Namespace: "shop", Name: "a", UID: "1", State: PodWaiting}, Pod{Namespace: "shop", Name: "b", UID: "2", State: PodStarting}
		for _, n := range []*Node{node(a, b), node(b), node(a, b), node()} {
			synctest.Wait()
			s.set(n)
		}
		time.Sleep(Heartbeat + 1)
		ill := node(b)
		ill.Healthy, ill.Reasons, ill.Load = false, []string{"busy"}, &Load{CPU: 99, Threshold: 80}
		s.set(ill)
		synctest.Wait()
		h.Close()
		<-done
	})
	return w.Body.Bytes()
}

func TestAStreamCutAnywhereTellsWholeLinesOnly(t *testing.T) {
	t.Parallel()
	whole := record(t)
	var lines []Event
	for line := range bytes.Lines(whole) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, e)
	}
	if len(lines) != 9 {
		t.Fatalf("%d lines:\n%s", len(lines), whole)
	}
	for _, ends := range []error{io.EOF, io.ErrUnexpectedEOF} { // as a server that stops ends it, and one that dies
		for cut := range len(whole) + 1 {
			body := io.MultiReader(bytes.NewReader(whole[:cut]), failing{ends})
			client := NewClient("http://health", &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				return stream(io.NopCloser(body)), nil
			})})
			var told []Event
			err := client.Watch(t.Context(), func(e Event) { told = append(told, e) })
			if !errors.Is(err, ends) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if want := lines[:bytes.Count(whole[:cut], []byte{'\n'})]; len(told) != len(want) || len(want) > 0 && !reflect.DeepEqual(told, want) {
				t.Fatalf("cut at %d: told %+v, want %+v", cut, told, want)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestWhatIsNoStreamIsNamed(t *testing.T) {
	t.Parallel()
	const whole = `{"at":"2026-01-01T00:00:00Z","node":{"name":"n1","pods":null}}` + "\n"
	answer := func(code int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for want, handler := range map[string]http.HandlerFunc{
		`status 302: "moved"`:                                     answer(302, "text/html", "moved"),
		`status 404: "{\"error\":\"unknown_route\"}"`:             answer(404, "application/json", `{"error":"unknown_route"}`),
		`an answer of type "text/html" instead`:                   answer(200, "text/html; charset=utf-8", "<html>Log in"),
		`an answer of type "text/plain" instead`:                  answer(200, "text/plain", "Lock acquired"),
		`health ended the stream: EOF`:                            answer(200, contentType, ""),
		`does not begin with a whole state: is that health?`:      answer(200, contentType, `{"at":"2026-01-01T00:00:00Z"}`+"\n"+whole),
		`read a line of 5 bytes: invalid character`:               answer(200, contentType, whole+"oops\n"),
		`a line says more than one thing`:                         answer(200, contentType, whole+`{"gone":"a","pod":{"uid":"b"}}`+"\n"),
		`pod shop/cart has no uid`:                                answer(200, contentType, whole+`{"pod":{"namespace":"shop","name":"cart"}}`+"\n"),
		`pod shop/desk has no uid`:                                answer(200, contentType, `{"node":{"pods":[{"uid":"1"},{"namespace":"shop","name":"desk"}]}}`+"\n"),
		`pod shop/cart has a patience of -5 s`:                    answer(200, contentType, whole+`{"pod":{"namespace":"shop","name":"cart","uid":"1","patienceSeconds":-5}}`+"\n"),
		`cannot unmarshal number 3000000000`:                      answer(200, contentType, whole+`{"pod":{"uid":"1","patienceSeconds":3000000000}}`+"\n"),
		`the stream was cut within a line: EOF`:                   answer(200, contentType, whole+`{"gone":"a"}`),
		`cannot unmarshal string into Go struct field Event.node`: answer(200, contentType, `{"node":"n1"}`+"\n"),
	} {
		srv := httptest.NewServer(handler)
		err := NewClient(srv.URL+"/", srv.Client()).Watch(t.Context(), func(e Event) {
			if e.Node == nil {
				t.Errorf("%s: told %+v", want, e)
			}
		})
		if err == nil || !strings.HasPrefix(err.Error(), "watch health at "+srv.URL+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		srv.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	err = NewClient("http://"+l.Addr().String(), nil).Watch(t.Context(), func(Event) {})
	if err == nil || strings.Count(err.Error(), "http://") != 1 || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
	if err := NewClient("http://[::1", nil).Watch(t.Context(), func(Event) {}); err == nil {
		t.Error("no error for an address that is none")
	}
}

func TestALineIsBounded(t *testing.T) {
	t.Parallel()
	first := `{"node":{"name":"n1","pods":[]}}`
	for size, fits := range map[int]bool{MaxLine: true, MaxLine + 1: false, MaxLine + 100: false, MaxLine + 1<<20: false} {
		line := first + strings.Repeat(" ", size-len(first)-1) + "\n"
		told := 0
		err := readEvents(strings.NewReader(line), func(Event) { told++ })
		if (told == 1) != fits || errors.Is(err, io.EOF) != fits {
			t.Errorf("a line of MaxLine%+d: told %d, %v", size-MaxLine, told, err)
		}
	}
	read := 0
	err := readEvents(readerFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil }), func(Event) {})
	if err == nil || read > MaxLine+1<<20 {
		t.Errorf("a line without end: %d bytes were read, %v", read, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// FuzzStream reads anything at all.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-01T00:00:00Z","node":{"name":"n1","synced":true,"pods":[{"uid":"1","state":"ready"}]}}
{"pod":{"uid":"2","passed":"2026-01-01T00:00:00Z"}}
{"gone":"1"}
{"status":{"healthy":true,"load":{"cpuPercent":5}}}
{}
`))
	f.Add([]byte("{\"node\":{}}\nnull\n[]\n"))
	f.Add([]byte("<html>\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var is Node
		told := 0
		err := readEvents(bytes.NewReader(data), func(e Event) {
			if told++; told == 1 && e.Node == nil {
				t.Errorf("the first was no whole state: %+v", e)
			}
			if err := e.check(); err != nil {
				t.Errorf("told %+v: %v", e, err)
			}
			is.Apply(e)
		})
		if err == nil || told > bytes.Count(data, []byte{'\n'}) {
			t.Errorf("%d told, %v", told, err)
		}
		if slices.ContainsFunc(is.Pods, func(p Pod) bool { return p.UID == "" }) {
			t.Errorf("a pod without uid: %+v", is.Pods)
		}
	})
}

func TestAStreamThatFallsSilentEnds(t *testing.T) {
	t.Parallel()
	beat, err := json.Marshal(Event{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		talk func(say func(string)) // after the whole state, at the start
		ends time.Duration          // after the start
	}{
		"at once":        {func(func(string)) {}, Silence},
		"after a while":  {func(say func(string)) { time.Sleep(Silence - 1); say(string(beat) + "\n") }, 2*Silence - 1},
		"within a line":  {func(say func(string)) { time.Sleep(Silence - 1); say(string(beat)) }, Silence},
		"a letter a sec": {func(say func(string)) { spell(beat, say) }, Silence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := NewClient("http://health", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
					reader, writer := io.Pipe()
					context.AfterFunc(r.Context(), func() { writer.CloseWithError(r.Context().Err()) })
					go func() {
						say := func(s string) { _, _ = io.WriteString(writer, s) }
						say(`{"node":{"name":"n1","pods":[]}}` + "\n")
						tt.talk(say)
					}()
					return stream(reader), nil
				})})
				began := time.Now()
				err := client.Watch(t.Context(), func(Event) {})
				if !errors.Is(err, ErrSilent) || time.Since(began) != tt.ends {
					t.Errorf("%v after %s, want silence after %s", err, time.Since(began), tt.ends)
				}
				time.Sleep(time.Minute) // for who talks
			})
		})
	}
}

func spell(word []byte, say func(string)) {
	for _, b := range word {
		time.Sleep(time.Second)
		say(string(b))
	}
}

func TestANeverAnsweredRequestIsSilenceToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := NewClient("http://health", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		if err := client.Watch(t.Context(), func(Event) {}); !errors.Is(err, ErrSilent) {
			t.Errorf("%v", err)
		}
		stopped := errors.New("stopped")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(stopped)
		if err := client.Watch(ctx, func(Event) {}); !errors.Is(err, stopped) {
			t.Errorf("%v, want the cause", err)
		}
	})
}

func TestTimeThatTellingTakesIsNoSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := NewClient("http://health", &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return stream(io.NopCloser(strings.NewReader(`{"node":{"name":"n1"}}` + "\n{}\n"))), nil
		})})
		told := 0
		err := client.Watch(t.Context(), func(Event) { told++; time.Sleep(2 * Silence) })
		if told != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("%d told, %v", told, err)
		}
	})
}

func TestAHeartbeatIsNeverLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(node())
		h, w, done := NewHandler(s), httptest.NewRecorder(), make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		began := time.Now()
		go func() {
			h.Watch(w, httptest.NewRequestWithContext(ctx, http.MethodGet, PathWatch, nil))
			close(done)
		}()
		for i, pause := range []time.Duration{Heartbeat - 1, 1, Heartbeat, Heartbeat + 1, 4*Heartbeat + 3, 0, 0, Heartbeat / 2} {
			time.Sleep(pause)
			if i%2 == 0 {
				s.set(node(Pod{Name: "a", UID: strings.Repeat("1", i+1)}))
			} else {
				s.set(s.Node()) // woken for nothing
			}
			synctest.Wait()
		}
		time.Sleep(3 * Heartbeat)
		leave()
		<-done
		last, beats := began, 0
		for line := range bytes.Lines(w.Body.Bytes()) {
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			if e.At.Sub(last) > Heartbeat {
				t.Errorf("%s after the line before: %s", e.At.Sub(last), line)
			}
			if last = e.At; reflect.DeepEqual(e, Event{At: e.At}) {
				beats++
			}
		}
		if time.Since(last) > Heartbeat || beats < 8 || !w.Flushed {
			t.Errorf("the last line %s ago, %d heartbeats\n%s", time.Since(last), beats, w.Body)
		}
	})
}

// pipeListener hands out one connection without a network.
type pipeListener struct {
	conns chan net.Conn
	close func()
}

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error   { l.close(); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(node(Pod{Name: "a", UID: "1"}))
		h := NewHandler(s)
		ended := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Watch(w, r); close(ended) })}
		l := pipeListener{conns: make(chan net.Conn, 1)}
		l.close = sync.OnceFunc(func() { close(l.conns) })
		go func() { _ = srv.Serve(l) }()
		client, server := net.Pipe()
		l.conns <- server

		began := time.Now()
		if _, err := io.WriteString(client, "GET /v1/watch HTTP/1.1\r\nHost: health\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"node"`) {
			t.Fatalf("%q, %v", line, err)
		}
		<-ended // and if it never does, nothing else is left to happen, and the test fails
		if took := time.Since(began); took != Heartbeat+writeTimeout {
			t.Errorf("cut off after %s, want the first heartbeat and %s", took, writeTimeout)
		}
		_ = client.Close()
		_ = srv.Close()
	})
}

func TestARealServerTellsChangesAndEndsItsStreams(t *testing.T) {
	t.Parallel()
	s := newSource(node())
	h := NewHandler(s)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathWatch, h.Watch)
	mux.HandleFunc("GET "+PathNode, h.Node)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	var is Node
	err := NewClient(srv.URL, srv.Client()).Watch(t.Context(), func(e Event) {
		is.Apply(e)
		switch {
		case e.Node != nil:
			s.set(node(Pod{Name: "a", UID: "1", State: PodWaiting}))
		case e.Pod != nil:
			h.Close()
			h.Close()
		}
	})
	if !errors.Is(err, io.EOF) || len(is.Pods) != 1 {
		t.Errorf("%v, %+v", err, is)
	}
	resp, err := srv.Client().Get(srv.URL + PathNode)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var now Node
	if err := json.NewDecoder(resp.Body).Decode(&now); err != nil || !reflect.DeepEqual(now, is) {
		t.Errorf("%v, state %+v, stream %+v", err, now, is)
	}
}
