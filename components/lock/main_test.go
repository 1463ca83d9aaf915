// The settings of both earlier generations, bad ones, and what status prints.

package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// TestMain lets the test binary be a lock: the process tests kill it.
func TestMain(m *testing.M) {
	if os.Getenv("PSL_TEST_IS_LOCK") != "" {
		main()
	}
	os.Exit(m.Run())
}

// start runs the app with a stand-in for serving.
func start(args ...string) (cfg *Config, code int, stderr string) {
	app := newApp(func(_ context.Context, c *Config, _ *slog.Logger) error { cfg = c; return nil }, os.Stdout)
	var b bytes.Buffer
	app.Writer, app.ErrWriter = &b, &b
	code = daemon.Main(app, append([]string{"lock"}, args...))
	return cfg, code, b.String()
}

func TestSettingsOfBothGenerations(t *testing.T) {
	for name, tt := range map[string]struct {
		args string
		env  map[string]string
		want func(c *Config) bool
	}{
		"none": {want: func(c *Config) bool {
			return c.address() == "0.0.0.0:8888" && c.Locks == 1 && c.Lease.Std() == 10*time.Second && len(c.endpoints) == 0 &&
				c.CheckFail.Std() == 10*time.Second && c.CheckPass.Std() == time.Minute && c.CheckTimeout.Std() == 5*time.Second
		}},
		"1.x": {args: "--host 127.0.0.1 --port 9000 --locks 2 --timeout 30 --failHc 5 --passHc 50 --check http://es:9200 --check tcp://mongo:27017",
			want: func(c *Config) bool {
				return c.address() == "127.0.0.1:9000" && c.Locks == 2 && c.Lease.Std() == 30*time.Second &&
					c.CheckFail.Std() == 5*time.Second && c.CheckPass.Std() == 50*time.Second &&
					len(c.endpoints) == 2 && c.endpoints[1].String() == "tcp://mongo:27017"
			}},
		"1.x, one dash": {args: "-port 9000 -locks=2 -check http://es:9200",
			want: func(c *Config) bool { return c.Port == 9000 && c.Locks == 2 && len(c.endpoints) == 1 }},
		"2.x": {env: map[string]string{"PSL_BIND_HOST": "::", "PSL_BIND_PORT": "8080", "PSL_PARALLEL_LOCKS": "3", "PSL_LOCK_DURATION": "15s",
			"PSL_HC_ENABLED": "true", "PSL_HC_ENDPOINTS": "http://a:1/x, tcp://b:2", "PSL_HC_PERIOD_FAIL": "1s", "PSL_HC_PERIOD_PASS": "2s",
			"PSL_HC_TIMEOUT": "3s", "PSL_LOG": "WARN"},
			want: func(c *Config) bool {
				return c.address() == "[::]:8080" && c.Locks == 3 && c.Lease.Std() == 15*time.Second && len(c.endpoints) == 2 &&
					c.CheckFail.Std() == time.Second && c.CheckPass.Std() == 2*time.Second && c.CheckTimeout.Std() == 3*time.Second
			}},
		"2.x, checks switched off": {env: map[string]string{"PSL_HC_ENABLED": "false", "PSL_HC_ENDPOINTS": "http://a:1"},
			want: func(c *Config) bool { return len(c.endpoints) == 0 }},
		"a flag wins over the environment": {args: "--locks 4 --check tcp://c:3", env: map[string]string{"PSL_PARALLEL_LOCKS": "bad", "PSL_HC_ENDPOINTS": "http://a:1"},
			want: func(c *Config) bool {
				return c.Locks == 4 && len(c.endpoints) == 1 && c.endpoints[0].String() == "tcp://c:3"
			}},
		"health": {args: "--health http://127.0.0.1:9999",
			want: func(c *Config) bool { return c.releaseOn() == "ready" && c.HealthPatience.Std() == time.Minute }},
		"health, and leases alone": {args: "--release-on timeout", env: map[string]string{"PSL_HEALTH": "http://127.0.0.1:9999"},
			want: func(c *Config) bool { return c.releaseOn() == "timeout" && c.Health != "" }},
		"auto": {args: "--locks auto --max-locks 9", env: map[string]string{"PSL_MIN_LOCKS": "2"},
			want: func(c *Config) bool { return c.Locks == auto && c.firstLimit() == 2 && c.MaxLocks == 9 }},
		"an empty variable is none": {env: map[string]string{"PSL_PARALLEL_LOCKS": "", "PSL_LOCK_DURATION": ""},
			want: func(c *Config) bool { return c.Locks == 1 && c.Lease.Std() == 10*time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, code, stderr := start(strings.Fields(tt.args)...)
			if code != 0 || cfg == nil || !tt.want(cfg) {
				t.Errorf("code %d, %s, config %+v", code, stderr, cfg)
			}
		})
	}
}

func TestBadSettingsAreAllNamedAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string][]string{
		"--locks 0":    {"--locks 0: want 1"},
		"--locks many": {`--locks: "many" is not a number of slots from 1 on, and not auto`},
		"--locks -1":   {`--locks: "-1" is not a number`},
		"--locks auto --min-locks 4 --max-locks 2": {"--min-locks 4 is above --max-locks 2"},
		"--min-locks 0 --max-locks -1":             {"--min-locks 0: want 1", "--max-locks -1: want 0"},
		"--timeout -5":                             {`--timeout: "-5" is negative`},
		"--timeout 0":                              {"--timeout 0s: want more than 0"},
		"--timeout abc":                            {`--timeout: "abc"`},
		"--timeout 1e9":                            {`--timeout: "1e9"`},
		"--port 70000":                             {"--port 70000"},
		"--host nowhere!":                          {`--host "nowhere!"`},
		"--check foo":                              {`--check "foo"`},
		"--release-on ready":                       {"--release-on ready: needs --health"},
		"--release-on never":                       {`--release-on "never": want ready`},
		"--health nowhere":                         {`--health "nowhere": want an address`},
		"--health-patience 0":                      {"--health-patience 0s: want more"},
		"--nonsense":                               {"nonsense"},
		"serve":                                    {`unexpected argument "serve"`},
		"--state-dir " + file:                      {"--state-dir: state folder " + file},
		"--locks 0 --timeout abc --check foo --check tcp://x --port 0 --failHc x --log-level loud --log-format xml --state-dir /nowhere extra": {
			"--locks 0", "--timeout", `--check "foo"`, `--check "tcp://x"`, "--port 0", "--failHc", "--log-level", "--log-format", "/nowhere", "extra"},
	} {
		cfg, code, stderr := start(strings.Fields(args)...)
		if code != daemon.ExitBadSettings || cfg != nil {
			t.Errorf("%s: code %d", args, code)
		}
		for _, w := range want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s: no %q in %s", args, w, stderr)
			}
		}
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := defaults()
	cfg.Host, cfg.Port = "127.0.0.1", daemon.Number(l.Addr().(*net.TCPAddr).Port)
	err = run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(int(cfg.Port))) || !strings.Contains(err.Error(), "another lock") {
		t.Errorf("%v", err)
	}
}

func TestStatusIsReadableAtAGlance(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	eta := lockapi.Duration(40 * time.Second)
	var b bytes.Buffer
	table(&b, &lockapi.State{
		Now: now, Limit: lockapi.Limit{Slots: 2, Reason: "fixed by --locks 2"},
		Gate:   lockapi.Gate{Reasons: []string{"endpoint tcp://db:5432: connection refused"}},
		Health: &lockapi.Health{Connected: true, Since: now.Add(-12 * time.Second), Error: "connection refused"},
		Grants: []lockapi.GrantState{{Pod: lockapi.Pod{Namespace: "shop", Name: "cart-1", UID: "u"}, Weight: 1, ReleaseOn: "timeout",
			GrantedAt: now.Add(-3 * time.Second), ExpiresAt: now.Add(7 * time.Second)}},
		Queue: []lockapi.ClaimState{
			{Position: 1, Pod: lockapi.Pod{Namespace: "shop", Name: "cart-2", UID: "v"}, Priority: 5, ClaimedAt: now.Add(-time.Minute), Connected: true, ETA: &eta,
				Reason: "next in line; 1 of 2 slots held"},
			{Position: 2, Pod: lockapi.Pod{UID: "w"}, ClaimedAt: now.Add(-90 * time.Second), Reason: "1 of 2 slots held, 1 ahead in the queue"},
		},
	})
	const want = `LIMIT  2 (fixed by --locks 2), 1 held
GATE   closed: endpoint tcp://db:5432: connection refused
HEALTH connected, but the API server is away for 12s (connection refused): going on with what was known last

GRANTS 1
  POD          WEIGHT  HELD FOR  ENDS IN  RELEASE ON
  shop/cart-1  1       3s        7s       timeout

QUEUE  2
  PLACE  POD          PRIORITY  WAITED  ETA      CLIENT   WHY
  1      shop/cart-2  5         1m0s    40s      waiting  next in line; 1 of 2 slots held
  2      w            0         1m30s   unknown  away     1 of 2 slots held, 1 ahead in the queue
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
