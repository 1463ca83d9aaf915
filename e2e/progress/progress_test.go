package progress

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		ctx := New(&out).Into(context.Background())
		if err := Step(ctx, "brew", func() error { time.Sleep(65 * time.Second); return nil }); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("cup is broken")
		if err := Step(ctx, "pour", func() error { time.Sleep(1500 * time.Millisecond); return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		Note(ctx, "%d left", 0)
		want := `      0s  brew ...
     30s  brew: running for 30s
    1m0s  brew: running for 1m0s
    1m5s  brew: done in 1m5s
    1m5s  pour ...
    1m7s  pour: FAILED in 1.5s
    1m7s  0 left
`
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	})
}

func TestTerminalShowsARunningClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		log := New(&out)
		log.tty = true
		_ = log.Step("brew", func() error { time.Sleep(2500 * time.Millisecond); return nil })
		if got := strings.Count(out.String(), "\r\x1b[K"); got != 4 {
			t.Errorf("the line was replaced %d times, not 4:\n%q", got, out.String())
		}
		if !strings.HasSuffix(out.String(), "brew: done in 2.5s\n") {
			t.Errorf("got %q", out.String())
		}
	})
}

func TestWithoutALog(t *testing.T) {
	t.Parallel()
	if From(context.Background()) == nil {
		t.Error("no log")
	}
}
