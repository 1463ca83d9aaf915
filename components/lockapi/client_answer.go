// What an answer to an acquire means, whichever generation of lock gave it.

package lockapi

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Outcome is what an acquire came to.
type Outcome int

// The outcomes. The legacy ones come from locks of an earlier generation, which
// know neither identity nor queue.
const (
	OutcomeGrant        Outcome = iota + 1 // a slot is held: Answer.Grant
	OutcomePlace                           // a place in the queue is held: Answer.Place
	OutcomeLegacyGrant                     // a slot is held until a lease of the server's ends
	OutcomeLegacyLocked                    // nothing is held, ask again after a pause
)

// Legacy is whether a lock of an earlier generation answered.
func (o Outcome) Legacy() bool { return o == OutcomeLegacyGrant || o == OutcomeLegacyLocked }

// Answer is the lock's word on an acquire.
type Answer struct {
	Outcome Outcome
	Grant   *Grant // with OutcomeGrant
	Place   *Place // with OutcomePlace
	// RetryAfter is the pause the server asks for with OutcomeLegacyLocked; 0 when it does not.
	RetryAfter time.Duration
}

// Bounds on what is believed of an answer.
const (
	maxLegacyBody = 1 << 10
	maxRetryAfter = time.Minute
	maxQuoted     = 200
)

// parseAnswer tells a v1 answer from a legacy one, and both from everything
// else that may listen on an address (a proxy's login page answers 200, too).
func parseAnswer(status int, header http.Header, body []byte) (Answer, error) {
	switch status {
	case http.StatusLocked:
		return Answer{Outcome: OutcomeLegacyLocked, RetryAfter: retryAfter(header)}, nil
	case http.StatusOK, http.StatusAccepted:
		var r AcquireResponse
		isJSON := json.Unmarshal(body, &r) == nil
		switch {
		case isJSON && status == http.StatusOK && r.Grant != nil && r.Grant.ID != "":
			return Answer{Outcome: OutcomeGrant, Grant: r.Grant}, nil
		case isJSON && status == http.StatusAccepted && r.Place != nil && r.Place.Position > 0:
			return Answer{Outcome: OutcomePlace, Place: r.Place}, nil
		case status == http.StatusOK && isLegacyGrant(header, body):
			return Answer{Outcome: OutcomeLegacyGrant}, nil
		}
		return Answer{}, unexpected(status, body)
	default:
		return Answer{}, parseFailure(status, body)
	}
}

// isLegacyGrant is whether body is the short plain text that older servers send.
func isLegacyGrant(header http.Header, body []byte) bool {
	if len(body) > maxLegacyBody {
		return false
	}
	if media, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && media != "text/plain" {
		return false
	}
	return strings.Contains(string(body), LegacyAcquired)
}

// parseFailure makes an error of an answer that is neither grant nor place.
func parseFailure(status int, body []byte) error {
	var e Error
	ours := json.Unmarshal(body, &e) == nil && e.Error != ""
	switch {
	case !ours, status < 400, status >= 500:
		return unexpected(status, body)
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return unexpected(status, body)
	}
	return &RefusedError{Status: status, Code: e.Error, Detail: e.Detail}
}

func unexpected(status int, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), maxQuoted)]))
	return &UnexpectedError{Status: status, Body: strings.ToValidUTF8(text, "")}
}

// retryAfter reads the header's whole seconds; its date form is not worth a
// clock that may differ from the server's.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
