package kubelet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackOff(t *testing.T) {
	t.Parallel()
	var b backOff
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// A container that ends by itself: at once, then 10 s, doubled, at most 300 s.
	for i, want := range []int{0, 10, 20, 40, 80, 160, 300, 300} {
		now = now.Add(15 * time.Second) // it ran for a while
		got := b.next(now, false)
		if got != time.Duration(want)*time.Second {
			t.Fatalf("restart %d after %s, want %d s", i, got, want)
		}
		now = now.Add(got)
	}
	if got := b.next(now.Add(9*time.Minute), false); got != longDelay {
		t.Errorf("after 9 minutes: %s, want %s still", got, longDelay)
	}
	now = now.Add(9*time.Minute + longDelay)
	if got := b.next(now.Add(11*time.Minute), false); got != 0 {
		t.Errorf("after 11 minutes: %s, want a fresh start", got)
	}
}

// The waits are those that a real kubelet of 1.36 showed for a herd whose
// containers lived for 15 to 20 s each.
func TestBackOffOfTheKilled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		lives time.Duration
		want  []int // seconds
	}{
		"15 s": {15 * time.Second, []int{0, 0, 0, 20, 40, 80, 160, 300}},
		"25 s": {25 * time.Second, []int{0, 0, 0, 0, 40, 80, 160, 300}},
		"5 s":  {5 * time.Second, []int{0, 0, 10, 20, 40, 80, 160, 300}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b backOff
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, want := range test.want {
				now = now.Add(test.lives)
				got := b.next(now, true)
				if got != time.Duration(want)*time.Second {
					t.Fatalf("restart %d after %s, want %d s", i, got, want)
				}
				now = now.Add(got)
			}
		})
	}
}

// fake is a container that ends by itself after a while, or needs some time to be stopped.
type fake struct {
	done     chan struct{}
	once     sync.Once
	err      error
	stubborn bool
}

func newFake(lives time.Duration, err error) *fake {
	f := &fake{done: make(chan struct{}), err: err}
	if lives > 0 {
		time.AfterFunc(lives, f.end)
	}
	return f
}

func (f *fake) end()                  { f.once.Do(func() { close(f.done) }) }
func (f *fake) Done() <-chan struct{} { return f.done }
func (f *fake) Err() error            { return f.err }
func (f *fake) Stop(grace time.Duration) {
	if f.stubborn {
		select {
		case <-f.done:
		case <-time.After(grace):
		}
	}
	f.end()
}

// world is what a pod runs in: how long its applications take to serve, and what happened.
type world struct {
	t       *testing.T
	began   time.Time
	mu      sync.Mutex
	events  []string
	probes  map[string][]float64
	serving time.Time // from when on probes succeed
	until   time.Time // and till when, if at all
}

func newWorld(t *testing.T) *world {
	return &world{t: t, began: time.Now(), probes: map[string][]float64{}}
}

func (w *world) tell(what record.What, note string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if note != "" {
		note = " " + note
	}
	w.events = append(w.events, fmt.Sprintf("%g %s%s", time.Since(w.began).Seconds(), what, note))
}

func (w *world) probe(_ context.Context, path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[path] = append(w.probes[path], time.Since(w.began).Seconds())
	now := time.Now()
	if w.serving.IsZero() || now.Before(w.serving) || !w.until.IsZero() && !now.Before(w.until) {
		return errors.New("refused")
	}
	return nil
}

// app is a function that starts an application which serves after a while.
func (w *world) app(serves time.Duration) func() (Container, error) {
	return func() (Container, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.serving = time.Time{}
		if serves > 0 {
			w.serving = time.Now().Add(serves)
		}
		return newFake(0, nil), nil
	}
}

// run runs a pod for a time and returns what happened.
func (w *world) run(p *Pod, long time.Duration) {
	w.t.Helper()
	p.Tell, p.Probe = w.tell, w.probe
	ctx, cancel := context.WithTimeout(w.t.Context(), long)
	defer cancel()
	if err := p.Run(ctx); err != nil {
		w.t.Errorf("run: %v", err)
	}
	if left := long - time.Since(w.began); left > 0 {
		w.t.Errorf("ended %s too early", left)
	}
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.events, want) {
		w.t.Errorf("got  %q\nwant %q", w.events, want)
	}
}

const second = spec.Duration(time.Second)

func probes() spec.Probes {
	return spec.Probes{
		Liveness:  &spec.Probe{InitialDelay: 10 * second, Period: 5 * second, Timeout: second, Failures: 2},
		Readiness: &spec.Probe{Period: second, Timeout: second, Failures: 3},
	}
}

func TestQuickStarterBecomesReadyAndStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(&Pod{App: w.app(3 * time.Second), Probes: probes(), Shift: 0.5}, time.Minute)
		w.expect("0 started", "3.5 ready")
		if got := w.probes["/livez"][:2]; !slices.Equal(got, []float64{12.5, 17.5}) {
			t.Errorf("liveness probes at %v: want the first after the initial delay and the shift, then every period", got)
		}
		if got := w.probes["/readyz"][:3]; !slices.Equal(got, []float64{0.5, 1.5, 2.5}) {
			t.Errorf("readiness probes at %v", got)
		}
	})
}

func TestSlowStarterIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(&Pod{App: w.app(time.Hour), Probes: probes()}, 100*time.Second)
		const why = " stopped liveness probe failed 2 times"
		w.expect("0 started", "15"+why, "15 started", "30"+why, "30 started", "45"+why, "45 started", "60"+why, "80 started", "95"+why)
	})
}

func TestInitContainerRunsOnceAndFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inits := 0
		w.run(&Pod{
			Init:   func() (Container, error) { inits++; return newFake(7*time.Second, nil), nil },
			Passed: func() { w.tell("passed", "") },
			App:    w.app(time.Hour),
			Probes: probes(),
		}, 30*time.Second)
		w.expect("7 passed", "7 started", "22 stopped liveness probe failed 2 times", "22 started")
		if inits != 1 {
			t.Errorf("the init container ran %d times: a restart of the application must not repeat it", inits)
		}
	})
}

func TestFailingInitContainerIsRepeatedWithBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inits := 0
		w.run(&Pod{
			Init: func() (Container, error) {
				if inits++; inits < 3 {
					return newFake(time.Second, errors.New("exit status 1")), nil
				}
				return newFake(time.Second, nil), nil
			},
			App: w.app(time.Second),
		}, time.Minute)
		w.expect("13 started", "13 ready no readiness probe") // 1, at once, 1, 10, 1
		if inits != 3 {
			t.Errorf("%d tries", inits)
		}
	})
}

func TestCrashingApplicationIsRestarted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		note string
	}{
		"with an error": {errors.New("exit status 3"), "exit status 3"},
		"without one":   {nil, "exit code 0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.run(&Pod{App: func() (Container, error) { return newFake(4*time.Second, test.err), nil }, Probes: probes()}, 20*time.Second)
				w.expect("0 started", "4 stopped "+test.note, "4 started", "8 stopped "+test.note, "18 started")
			})
		})
	}
}

func TestReadinessIsLostAndRegained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := probes()
		p.Liveness = nil
		start := w.app(2 * time.Second)
		w.run(&Pod{Probes: p, App: func() (Container, error) {
			w.until = time.Now().Add(6 * time.Second)
			time.AfterFunc(19500*time.Millisecond, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.until = time.Time{}
			})
			return start()
		}}, 30*time.Second)
		w.expect("0 started", "2 ready", "8 unready readiness probe failed", "20 ready")
	})
}

func TestOneFailureIsForgiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		// It serves just after its first liveness probe has failed.
		w.run(&Pod{App: w.app(11 * time.Second), Probes: probes()}, time.Minute)
		w.expect("0 started", "11 ready")
	})
}

func TestStubbornApplicationIsKilledAfterTheGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(&Pod{Probes: probes(), App: func() (Container, error) {
			f := newFake(0, nil)
			f.stubborn = true
			return f, nil
		}}, 50*time.Second)
		w.expect("0 started", "45 stopped liveness probe failed 2 times", "45 started")
	})
}

func TestNothingRunsAfterTheContext(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *fake) *Pod{
		"in the init container": func(c *fake) *Pod { return &Pod{Init: func() (Container, error) { return c, nil }} },
		"in the application":    func(c *fake) *Pod { return &Pod{App: func() (Container, error) { return c, nil }, Probes: probes()} },
	}
	for name, pod := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := newFake(0, nil)
				w.run(pod(c), 3*time.Second)
				select {
				case <-c.Done():
				default:
					t.Error("the container is still running")
				}
			})
		})
	}
}

func TestWhatCannotStartIsAnError(t *testing.T) {
	t.Parallel()
	broken := func() (Container, error) { return nil, errors.New("no such program") }
	for name, p := range map[string]*Pod{"init": {Init: broken}, "app": {App: broken}} {
		p.Tell = func(record.What, string) {}
		if err := p.Run(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
