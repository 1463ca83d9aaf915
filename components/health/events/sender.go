// The way of an event to the API server: one request, no second try.

package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// component is who says so.
	component = "startup-lock"
	// maxMessage is the longest message in bytes: newer forms of events allow no more.
	maxMessage = 1024
	// maxNamePart leaves room for a time in an object's name of at most 253 bytes.
	maxNamePart = 230
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
)

var (
	// errDenied is when the role lacks the permission: the next event would be denied, too.
	errDenied = errors.New("health's role does not allow it to create events")
	// errNoAnswer is when the API server is away, or has trouble of its own.
	errNoAnswer = errors.New("the API server does not answer")
)

// sender writes events. It needs nothing of client-go but a client with its
// credentials: a clientset would be half of health's memory.
type sender struct {
	node   string
	base   *url.URL
	client *http.Client
}

// send writes n as an event of the time now.
func (s *sender) send(ctx context.Context, n notice, now time.Time) error {
	body, err := json.Marshal(s.event(n, now))
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	target := s.base.JoinPath("api/v1/namespaces", n.pod.Namespace, "events").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the address says nothing new
		}
		return fmt.Errorf("create event: %w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // to its end, so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create event: %w in full: %w", errNoAnswer, err)
	}
	return refusal(resp.StatusCode, answer)
}

// refusal is what an answer other than success means.
func refusal(code int, body []byte) error {
	var status metav1.Status
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		status.Message = strconv.Quote(string(body))
	}
	status.Message = fmt.Sprintf("%.300s", status.Message)
	switch {
	// What authorizes says it so; a quota, or a namespace that is being deleted, forbids this one event.
	case code == http.StatusForbidden && strings.Contains(status.Message, "cannot create resource"):
		return fmt.Errorf("%w: %s", errDenied, status.Message)
	case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return fmt.Errorf("create event: %w: status %d: %s", errNoAnswer, code, status.Message)
	default:
		return fmt.Errorf("create event: status %d: %s", code, status.Message)
	}
}

// event is n as the API has it. The name is made as client-go makes it.
func (s *sender) event(n notice, now time.Time) *corev1.Event {
	at := metav1.NewTime(now)
	kind := corev1.EventTypeNormal
	if n.warning {
		kind = corev1.EventTypeWarning
	}
	name := strings.TrimRight(n.pod.Name[:min(len(n.pod.Name), maxNamePart)], "-.")
	message := n.message
	if len(message) > maxMessage {
		const more = "…"
		message = strings.ToValidUTF8(message[:maxMessage-len(more)], "") + more
	}
	return &corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Namespace: n.pod.Namespace, Name: fmt.Sprintf("%s.%x", name, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: n.pod.Namespace, Name: n.pod.Name, UID: types.UID(n.pod.UID)},
		Reason:         n.reason, Message: message, Type: kind,
		Source: corev1.EventSource{Component: component, Host: s.node}, ReportingController: component, ReportingInstance: s.node,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
}
