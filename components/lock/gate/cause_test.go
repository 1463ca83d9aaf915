// The reasons that the gate's parts give, by kind.

package gate

import (
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func TestReasonsOfTheGateHaveTheirCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, true)
		synctest.Wait()
		w.noted.Lock()
		away := slices.Clone(w.reasons)
		w.noted.Unlock()
		if len(away) != 1 || CauseOf(away[0]) != CauseHealthAway {
			t.Errorf("while health is away: %q", away)
		}
	})
	e, err := ParseEndpoint("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := Checks{Endpoints: []Endpoint{e}, Timeout: time.Second, Log: slog.New(slog.DiscardHandler)}
	if down := c.round(t.Context(), http.DefaultClient); len(down) != 1 || CauseOf(down[0]) != CauseEndpoint {
		t.Errorf("while an endpoint is down: %q", down)
	}
	for _, r := range []string{NotLooked, NotChecked, NotHeard} {
		if CauseOf(r) != healthapi.CauseUnknown {
			t.Errorf("%q is of cause %q", r, CauseOf(r))
		}
	}
}

func FuzzCauseOf(f *testing.F) {
	for _, s := range []string{"", "endpoint http://db: refused", "DaemonSet ", "health is away: ", "node \"n\"", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c := CauseOf(s); !slices.Contains(Causes(), c) {
			t.Errorf("%q is of cause %q, which is in no closed set", s, c)
		}
	})
}
