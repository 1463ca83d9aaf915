package live

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// herd is a run of some pods in the middle: one Ready, one killed and waiting, one starting, the rest waiting.
func herd(pods int) *record.Run {
	run := &record.Run{Ended: 20}
	run.Pods = record.Pods(&spec.Scenario{Pods: []spec.Group{{Name: "pod", Count: pods}}}, strings.ToUpper)
	happened := [][]record.Event{
		{{At: 0, What: record.Claimed}, {At: 0, What: record.Granted}, {At: 1, What: record.Started}, {At: 5, What: record.Ready}},
		{{At: 1, What: record.Claimed}, {At: 4, What: record.Started}, {At: 10, What: record.Stopped}, {At: 10, What: record.Started}, {At: 15, What: record.Stopped}},
		{{At: 2, What: record.Claimed}, {At: 12, What: record.Started}},
	}
	for i := range min(pods, len(happened)) {
		run.Pods[i].Events = happened[i]
	}
	return run
}

func plain(width, height int) frame {
	return frame{width: width, height: height, horizon: 40, paint: painter(false)}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		height int
		want   string
	}{
		"a line per pod": {12, `a title
pod-1 ·████━━━━━━━━━━━━━━━━
pod-2 ····██████x████x░░░░░
pod-3 ············█████████
pod-4 ·····················
      ╵0 s      ╵10 s     ╵20 s     ╵30 s
20 s · waiting 1 · starting 1 · ready 1 of 4 …`},
		"a line per two pods": {5, `a title
pod-1 +1 █████████x███x░░░░░
pod-3 +1 ···········████████
         ╵0 s              ╵20 s
20 s · waiting 1 · starting 1 · ready 1 of 4 …`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(plain(46, test.height).lines("a title", herd(4)), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestFaultyAndDeletedPodsAreSetApart(t *testing.T) {
	t.Parallel()
	run := herd(4)
	run.Pods[1].Fault = spec.CrashLoop
	run.Pods[2].Events = append(run.Pods[2].Events, record.Event{At: 18, What: record.Deleted})
	f := plain(80, 12)
	f.paint = func(colour, text string) string { return "<" + colour + ">" + text }
	lines := f.lines("a title", run)
	for i, want := range []string{1: "<>pod-1 <90>", 2: "<31>pod-2 <90>", 3: "<>pod-3 <90>"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q, want %q first", i, lines[i], want)
		}
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "ready 1 of 2 ") {
		t.Errorf("the footer: %q", last)
	}
}

func TestFrameFitsTheWindow(t *testing.T) {
	t.Parallel()
	for _, pods := range []int{0, 1, 3, 24, 110, 1000} {
		for _, height := range []int{4, 10, 24, 60} {
			for _, width := range []int{20, 80, 200} {
				lines := plain(width, height).lines(strings.Repeat("title ", 50), herd(pods))
				if len(lines) > height {
					t.Errorf("%d pods in %d lines: %d lines", pods, height, len(lines))
				}
				for _, line := range lines {
					if n := utf8.RuneCountInString(line); n > width {
						t.Errorf("%d pods in %d columns: %d columns: %q", pods, width, n, line)
					}
				}
			}
		}
	}
}

func TestTitleSaysHowTheHerdIsTried(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{Name: "herd", Pods: []spec.Group{{Count: 1, Startup: spec.Startup{CPU: 1}}}}
	for want, p := range map[string]spec.Policy{
		"herd, policy none: no lock":                        {Name: "none"},
		"herd, policy patient: no lock, no liveness probes": {Name: "patient", Patient: true},
		"herd, policy auto: slots follow the node, lease 2m": {
			Name: "auto", Lock: &spec.Lock{Auto: true, Lease: spec.Duration(2 * time.Minute)},
		},
	} {
		if got := Title(s, p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFooterShowsSlotsThatMove(t *testing.T) {
	t.Parallel()
	run := herd(4)
	run.Limits = []record.Step{{N: 2}, {At: 3, N: 5}}
	if got := plain(80, 12).footer(run); strings.Contains(got, "slots") {
		t.Errorf("slots that do not move: %s", got)
	}
	run.Policy.Lock = &spec.Lock{Auto: true}
	if got := plain(80, 12).footer(run); !strings.HasSuffix(got, "most starters 3 · 5 slots") {
		t.Errorf("slots that do: %s", got)
	}
}

func TestScaleGrowsInSteps(t *testing.T) {
	t.Parallel()
	f := frame{horizon: 40}
	for passed, want := range map[float64]float64{0: 40, 39: 40, 41: 60, 60: 60, 61: 60, 62: 90} {
		if got := f.scale(passed); got != want {
			t.Errorf("after %v s: %v, want %v", passed, got, want)
		}
	}
	if got := (frame{}).scale(3); got != 20 {
		t.Errorf("unknown horizon: %v", got)
	}
}

// screen is a writer that is safe to read while it is written.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestLinesAppearOnChangesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		began := time.Now()
		l := Lines(&out)
		l.Note("building %s", "things")
		stop := l.Follow("the herd", 0, func() *record.Run {
			run := herd(3)
			run.Ended = time.Since(began).Seconds()
			for i := range run.Pods {
				run.Pods[i].Events = slices.DeleteFunc(run.Pods[i].Events, func(e record.Event) bool { return e.At > run.Ended })
			}
			return run
		})
		time.Sleep(20*time.Second + 500*time.Millisecond)
		stop()
		stop() // once more does no harm
		want := `building things
the herd
   1.0 s  waiting 2 · starting 1 · ready 0 of 3 · restarts 0
   4.0 s  waiting 1 · starting 2 · ready 0 of 3 · restarts 0
   5.0 s  waiting 1 · starting 1 · ready 1 of 3 · restarts 0
  10.0 s  waiting 1 · starting 1 · ready 1 of 3 · restarts 1
  12.0 s  waiting 0 · starting 2 · ready 1 of 3 · restarts 1
  15.0 s  waiting 0 · starting 1 · ready 1 of 3 · back-off 1 · restarts 1
`
		if got := out.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTerminalIsRedrawnInPlaceAndGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		term := &terminal{out: &out, size: func() (int, int, error) { return 60, 10, nil }, paint: painter(true)}
		stop := term.Follow("the herd", time.Minute, func() *record.Run { return herd(3) })
		time.Sleep(time.Second + 100*time.Millisecond)
		stop()
		got := out.String()
		if !strings.HasPrefix(got, hideCursor) || !strings.HasSuffix(got, showCursor) {
			t.Errorf("the cursor: %q … %q", got[:10], got[len(got)-10:])
		}
		if ups := strings.Count(got, "\x1b[6A"); ups != 5 { // 6 lines; 5 frames and the last, the first needs no way up
			t.Errorf("%d ways up", ups)
		}
		if lines := strings.Count(got, "\n"); lines != 6*6 {
			t.Errorf("%d lines", lines)
		}
	})
}
