// The routes that take and give back: acquire, its legacy form, release.

package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/lock/slots"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// acquire is POST /v1/acquire.
func (s *Server) acquire(w http.ResponseWriter, r *http.Request) {
	var req lockapi.AcquireRequest
	if !decode(w, r, &req) {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or the long poll would look like a client that is gone
	lease, err := s.lease(r.URL.Query().Get("duration"))
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_request", "duration: "+err.Error())
		return
	}
	claim, err := s.claimOf(req, lease)
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	grant, place, err := s.desk.acquire(r.Context(), claim, min(req.Wait.Std(), lockapi.MaxWait))
	switch {
	case errors.Is(err, errHungUp):
		// Nobody is there to answer.
	case errors.Is(err, errPodGone):
		fail(w, http.StatusGone, "pod_gone", err.Error()+": a slot would be lost on it")
	case errors.Is(err, errSuperseded):
		fail(w, http.StatusConflict, "superseded", "this pod asked again, or gave its place up, over another connection")
	case err != nil:
		unavailable(w, err)
	case grant != nil:
		s.deliver(w, r, grant.ID, func() error {
			return reply(w, http.StatusOK, lockapi.AcquireResponse{Grant: grantOf(*grant, s.desk.limit())})
		})
	default:
		_ = reply(w, http.StatusAccepted, lockapi.AcquireResponse{Place: s.desk.describe(*place)})
	}
}

// claimOf checks what a client says of itself.
func (s *Server) claimOf(req lockapi.AcquireRequest, lease time.Duration) (slots.Claim, error) {
	switch req.ReleaseOn {
	case "", lockapi.ReleaseOnTimeout, lockapi.ReleaseOnStarted, lockapi.ReleaseOnReady:
	default:
		return slots.Claim{}, fmt.Errorf("releaseOn %q: want %s, %s or %s", req.ReleaseOn,
			lockapi.ReleaseOnTimeout, lockapi.ReleaseOnStarted, lockapi.ReleaseOnReady)
	}
	switch p := req.Pod; {
	case p.UID == "":
		return slots.Claim{}, errors.New("pod.uid is missing: it is the claim's identity; a client without one makes one up")
	case max(len(p.UID), len(p.Name), len(p.Namespace)) > lockapi.MaxName:
		return slots.Claim{}, fmt.Errorf("pod: namespace, name and uid may have at most %d bytes each", lockapi.MaxName)
	case req.Weight < 0 || req.Weight > lockapi.MaxWeight:
		return slots.Claim{}, fmt.Errorf("weight %d: want 1 to %d", req.Weight, lockapi.MaxWeight)
	case max(req.Priority, -req.Priority) > lockapi.MaxPriority:
		return slots.Claim{}, fmt.Errorf("priority %d: want -%d to %d", req.Priority, lockapi.MaxPriority, lockapi.MaxPriority)
	}
	return slots.Claim{
		Pod:       slots.Pod(req.Pod),
		Weight:    max(req.Weight, 1),
		Priority:  req.Priority,
		Lease:     lease,
		ReleaseOn: string(cmp.Or(req.ReleaseOn, s.cfg.ReleaseOn)),
		Since:     req.ClaimedAt,
	}, nil
}

// legacy is any GET outside the reserved paths: a slot now, or none.
func (s *Server) legacy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(http.MethodGet)(w, r)
		return
	}
	lease, err := s.legacyLease(w, r)
	if err != nil {
		http.Error(w, "duration: "+err.Error(), status(err))
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	grant, err := s.desk.tryAcquire(slots.Claim{
		Pod: slots.Pod{Name: "client at " + host}, Weight: 1, Lease: lease,
		ReleaseOn: string(lockapi.ReleaseOnTimeout), Legacy: true,
	})
	switch {
	case err != nil:
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case grant == nil:
		w.Header().Set("Retry-After", strconv.Itoa(s.desk.retryAfter()))
		w.WriteHeader(http.StatusLocked)
		_, _ = io.WriteString(w, lockapi.LegacyLocked)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(lockapi.LegacyAcquired))) // or the flush makes chunks of it
		s.deliver(w, r, grant.ID, func() error {
			_, err := io.WriteString(w, lockapi.LegacyAcquired)
			return err
		})
	}
}

// legacyLease looks for the lease wish where earlier clients put it: in the
// query as duration, in the query as timeout (the oldest ones), or in a form
// body on the GET.
func (s *Server) legacyLease(w http.ResponseWriter, r *http.Request) (time.Duration, error) {
	wishes := r.URL.Query()
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && t == "application/x-www-form-urlencoded" {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, lockapi.MaxBody))
		if err != nil {
			return 0, fmt.Errorf("read the form: %w", err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return 0, fmt.Errorf("read the form: %w", err)
		}
		for k, v := range form {
			wishes[k] = append(wishes[k], v...)
		}
	}
	for _, name := range []string{"duration", "timeout"} {
		if wish := wishes.Get(name); wish != "" {
			return s.lease(wish)
		}
	}
	return s.cfg.Lease, nil
}

// lease reads a client's wish; none, or 0, is the default.
func (s *Server) lease(wish string) (time.Duration, error) {
	if wish == "" {
		return s.cfg.Lease, nil
	}
	d, err := lockapi.ParseDuration(wish)
	switch {
	case err != nil:
		return 0, err
	case d.Std() > lockapi.MaxLease:
		return 0, fmt.Errorf("%s is more than the longest lease, %s", d, lockapi.Duration(lockapi.MaxLease))
	case d == 0:
		return s.cfg.Lease, nil
	}
	return d.Std(), nil
}

// deliver writes a grant and tells the desk whether the client was there for it.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, id string, write func() error) {
	err := r.Context().Err()
	if err == nil {
		err = write()
	}
	if err == nil {
		if err = http.NewResponseController(w).Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	if err != nil || r.Context().Err() != nil {
		s.desk.hungUp(id)
		return
	}
	s.desk.delivered(id)
}

// release is POST /v1/release.
func (s *Server) release(w http.ResponseWriter, r *http.Request) {
	var req lockapi.ReleaseRequest
	if !decode(w, r, &req) {
		return
	}
	if err := s.desk.release(req.ID); err != nil {
		fail(w, http.StatusConflict, "unknown_id", err.Error()+"; it may have ended already")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decode reads a JSON body strictly, or answers why it cannot.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, lockapi.MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("there is more after the first JSON value")
	}
	if err != nil {
		code := "bad_request"
		if status(err) == http.StatusRequestEntityTooLarge {
			code = "too_large"
		}
		fail(w, status(err), code, "read the body: "+err.Error())
		return false
	}
	return true
}

// status is the fitting one for a request that cannot be read.
func status(err error) int {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func reply(w http.ResponseWriter, code int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	return json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, code int, constant, detail string) {
	_ = reply(w, code, lockapi.Error{Error: constant, Detail: detail})
}

func unavailable(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, "unavailable", err.Error()+"; ask again")
}

func methodNotAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		fail(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not known here; use "+allow)
	}
}

func unknownRoute(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "unknown_route", "this lock has no such v1 route; it may be older than its client")
}

// wholeSeconds rounds up, at least 1.
func wholeSeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
