package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	tests := map[string]struct {
		args []string
		env  map[string]string
		want config
		errs []string
	}{
		"defaults":             {nil, nil, config{listen: ":8080", dir: os.TempDir()}, nil},
		"flags":                {[]string{"--cpu", "3s", "--idle", "2", "--read", "64Mi", "--listen", ":1", "--dir", "/x"}, nil, config{startup: spec.Startup{CPU: 3 * second, Idle: 2 * second, Read: 64 << 20}, listen: ":1", dir: "/x"}, nil},
		"faults":               {[]string{"--never-ready"}, map[string]string{"APP_CRASH": "true"}, config{listen: ":8080", dir: os.TempDir(), neverReady: true, crash: true}, nil},
		"environment":          {nil, map[string]string{"APP_CPU": "50ms", "APP_LISTEN": ":2", "APP_READ": ""}, config{startup: spec.Startup{CPU: second / 20}, listen: ":2", dir: os.TempDir()}, nil},
		"flags win":            {[]string{"--cpu", "1s"}, map[string]string{"APP_CPU": "2s"}, config{startup: spec.Startup{CPU: second}, listen: ":8080", dir: os.TempDir()}, nil},
		"every problem":        {[]string{"--idle", "x"}, map[string]string{"APP_CPU": "-1", "APP_READ": "1MB"}, config{}, []string{"APP_CPU", "APP_READ", "-idle"}},
		"noise":                {[]string{"--noise", "2", "--on", "3s", "--off", "500ms"}, nil, config{listen: ":8080", dir: os.TempDir(), noise: spec.Noise{Threads: 2, On: 3 * second, Off: second / 2}}, nil},
		"noise of no length":   {[]string{"--noise", "2"}, nil, config{}, []string{"-noise needs -on"}},
		"less than no noise":   {[]string{"--noise", "-1"}, nil, config{}, []string{"-noise -1"}},
		"unexpected arguments": {[]string{"hello"}, nil, config{}, []string{`unexpected arguments: ["hello"]`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }
			got, err := parse(test.args, env, io.Discard)
			for _, want := range test.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v lacks %q", err, want)
				}
			}
			if test.errs == nil && (err != nil || got != test.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestBurnUsesThatMuchCPUTime(t *testing.T) {
	t.Parallel()
	before, err := cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	if err := burn(t.Context(), before+20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if after, err := cpuTime(); err != nil || after < before+20*time.Millisecond {
		t.Errorf("used %s, %v", after-before, err)
	}
}

func TestWorkEndsWhenTold(t *testing.T) {
	t.Parallel()
	hour := spec.Duration(time.Hour)
	for name, s := range map[string]spec.Startup{"cpu": {CPU: hour}, "idle": {Idle: hour}, "read": {Read: 1 << 30}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := run(ctx, config{startup: s, dir: t.TempDir(), listen: "127.0.0.1:0"}); !errors.Is(err, context.Canceled) {
				t.Errorf("stopped while it starts: %v", err)
			}
		})
	}
}

func TestReadLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := work(t.Context(), spec.Startup{Read: 3<<20 + 17}, dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := work(t.Context(), spec.Startup{Read: 1}, "/no/such/folder"); err == nil {
		t.Error("no folder, no error")
	}
}

func TestServeAnswersProbesAndEndsWhenTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ready bool
		want  map[string]int
	}{
		"ready":       {true, map[string]int{"/livez": 200, "/readyz": 200, "/other": 404}},
		"never ready": {false, map[string]int{"/livez": 200, "/readyz": 503}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- serve(ctx, listener, test.ready) }()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for path, want := range test.want {
				response, err := client.Get("http://" + listener.Addr().String() + path)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if response.StatusCode != want {
					t.Errorf("%s: %d", path, response.StatusCode)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatDoesNotServeSaysWhy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config
		want string
	}{
		"nowhere to listen": {config{listen: "no address"}, "open the HTTP port"},
		"told to crash":     {config{listen: "127.0.0.1:0", crash: true}, "crash, as told"},
	} {
		if err := run(t.Context(), test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
