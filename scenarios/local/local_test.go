package local

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// TestMain is also the child process of the tests here: with CHILD set it does
// what that says instead of testing.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD") {
	case "":
		goleak.VerifyTestMain(m)
	case "obedient":
		fmt.Println("up")
		select {}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("up")
		select {}
	case "failing":
		fmt.Println("no way")
		os.Exit(3)
	}
}

// child starts a child process and waits until it has said something.
func child(t *testing.T, l *launcher, what string) (*process, string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "child.log")
	p, err := l.start(log, []string{"CHILD=" + what}, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if out, err := os.ReadFile(log); err == nil && len(out) > 0 {
			return p, string(out)
		}
		if time.Now().After(deadline) {
			t.Fatal("the child says nothing")
		}
		select {
		case <-p.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func testLauncher(t *testing.T) *launcher {
	t.Helper()
	l, err := newLauncher(spec.Node{Cores: 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	return l
}

// closed closes the launcher at the end of the test.
func closed(t *testing.T, l *launcher) {
	t.Helper()
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestProcessIsStopped(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		grace time.Duration
		want  string
	}{
		"obedient": {time.Minute, "terminated"},
		"stubborn": {10 * time.Millisecond, "killed"},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, _ := child(t, testLauncher(t), what)
			p.Stop(test.grace)
			select {
			case <-p.Done():
			default:
				t.Fatal("still running")
			}
			if p.Err() == nil || !strings.Contains(p.Err().Error(), test.want) {
				t.Errorf("ended with %v, want %s", p.Err(), test.want)
			}
			p.Stop(time.Minute) // once more does no harm
		})
	}
}

func TestProcessThatEndsTellsHow(t *testing.T) {
	t.Parallel()
	p, said := child(t, testLauncher(t), "failing")
	<-p.Done()
	if p.Err() == nil || p.Err().Error() != "exit status 3" || !strings.Contains(said, "no way") {
		t.Errorf("said %q, ended with %v", said, p.Err())
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	l := testLauncher(t)
	_, err := l.start(filepath.Join(t.TempDir(), "log"), nil, "/no/such/program")
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("error %v", err)
	}
}

func TestFreeAddressesCanBeOpened(t *testing.T) {
	t.Parallel()
	addresses, err := freeAddresses(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addresses {
		_, port, err := net.SplitHostPort(a)
		if err != nil || seen[a] || port >= "32000" || len(port) != 5 {
			t.Errorf("address %q, %v", a, err)
		}
		seen[a] = true
	}
}

func TestProber(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/slow":
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	probe := prober(strings.TrimPrefix(server.URL, "http://"))
	for path, healthy := range map[string]bool{"/livez": true, "/redirect": true, "/broken": false, "/slow": false} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := probe(ctx, path); (err == nil) != healthy {
			t.Errorf("%s: %v", path, err)
		}
		cancel()
	}
	if err := prober("127.0.0.1:1")(t.Context(), "/livez"); err == nil {
		t.Error("nobody there: no error")
	}
}

func TestGroupOfEachPod(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{Pods: []spec.Group{{Name: "a", Count: 2}, {Name: "b", Count: 1}}}
	for i, want := range []string{"a", "a", "b", ""} {
		if got := groupOf(s, i).Name; got != want {
			t.Errorf("pod %d is of group %q, want %q", i, got, want)
		}
	}
}

func TestShiftsStayOffTheEdgesOfThePeriod(t *testing.T) {
	t.Parallel()
	for i := range 24 {
		if s := shift(i, 24); s < 0.6 || s >= 0.8 || i > 0 && s <= shift(i-1, 24) {
			t.Errorf("pod %d: %v", i, s)
		}
	}
}

func TestTheLockGetsThePolicy(t *testing.T) {
	t.Parallel()
	const health = "http://127.0.0.1:1"
	for want, lock := range map[string]spec.Lock{
		"--locks 2 --timeout 8s": {Locks: 2, Lease: spec.Duration(8 * time.Second), ReleaseOn: "timeout"},
		"--locks auto --timeout 2m --health " + health + " --release-on ready": {Auto: true, Lease: spec.Duration(2 * time.Minute), ReleaseOn: "ready"},
		"--locks auto --timeout 1s --min-locks 2 --max-locks 8":                {Auto: true, Min: 2, Max: 8, Lease: spec.Duration(time.Second)},
		"--locks 5 --timeout 1s --health " + health + " --release-on started":  {Oracle: true, Locks: 5, Lease: spec.Duration(time.Second), ReleaseOn: "started"},
	} {
		if got := strings.Join(lockArgs(&lock, health), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAnOracleThatHasNotSpokenIsNoLock(t *testing.T) {
	t.Parallel()
	n := &Node{scenario: &spec.Scenario{Name: "s"}}
	_, err := n.Run(t.Context(), spec.Policy{Name: "oracle", Lock: &spec.Lock{Oracle: true}})
	if err == nil || !strings.Contains(err.Error(), "run s with policy oracle: the best number of slots is not known") {
		t.Errorf("error %v", err)
	}
}

func TestHorizonOfSlotsThatAreNotKnownYet(t *testing.T) {
	t.Parallel()
	s := &spec.Scenario{Pods: []spec.Group{{Count: 4}}}
	lease := spec.Duration(10 * time.Second)
	for slots, want := range map[int]time.Duration{0: 50 * time.Second, 1: 50 * time.Second, 2: 30 * time.Second} {
		if got := horizon(s, spec.Policy{Lock: &spec.Lock{Locks: slots, Lease: lease}}, 0); got != want {
			t.Errorf("%d slots: %s, want %s", slots, got, want)
		}
	}
}

func TestNoiseIsMeasuredForWholeRounds(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	for want, noise := range map[time.Duration]spec.Noise{
		3 * time.Second:         {On: 1000 * second},
		4 * time.Second:         {On: second, Off: second},
		5 * time.Second:         {On: 3 * second, Off: 2 * second},
		3200 * time.Millisecond: {On: second / 5, Off: second / 5},
	} {
		if got := wholeRounds(noise); got != want {
			t.Errorf("on %s, off %s: %s, want %s", noise.On, noise.Off, got, want)
		}
	}
}

func TestShareOfTheNoise(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	for want, noise := range map[float64]spec.Noise{
		0.75: {Threads: 1, On: 3 * second, Off: second},
		1:    {Threads: 2, On: second, Off: second},
		2:    {Threads: 3, On: second},
	} {
		if got := share(noise, 2); got != want {
			t.Errorf("%+v: %v of 2 cores, want %v", noise, got, want)
		}
	}
}

func TestNoiseThatEndsSpoilsTheRun(t *testing.T) {
	t.Parallel()
	p, _ := child(t, testLauncher(t), "failing")
	err := endless(t.Context(), p, "logs")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), filepath.Join("logs", noiseLog)) {
		t.Errorf("error %v", err)
	}
	p, _ = child(t, testLauncher(t), "obedient")
	defer p.Stop(0)
	over, end := context.WithCancel(t.Context())
	end()
	if err := endless(over, p, "logs"); err != nil {
		t.Errorf("at the end of the run: %v", err)
	}
}

func TestUIDs(t *testing.T) {
	t.Parallel()
	if a, b := newUID(), newUID(); len(a) != 36 || a == b || a[14] != '4' {
		t.Errorf("%s, %s", a, b)
	}
}
