// The settings of events.

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

func TestSettingsOfEvents(t *testing.T) { // not parallel: the environment is everybody's
	const required = "--node-name n1 --baseUrl http://127.0.0.1:8001 "
	for name, tt := range map[string]struct {
		args  string
		env   map[string]string
		on    bool
		after time.Duration
		lock  string
	}{
		"none":             {args: required, after: 30 * time.Second, lock: "http://127.0.0.1:8888"},
		"as the chart has": {args: required + "--events --events-after=90 --lock=http://127.0.0.1:8888", on: true, after: 90 * time.Second, lock: "http://127.0.0.1:8888"},
		"environment": {args: required, env: map[string]string{"PSL_EVENTS": "true", "PSL_EVENTS_AFTER": "2m", "PSL_LOCK_URL": "http://localhost:1"},
			on: true, after: 2 * time.Minute, lock: "http://localhost:1"},
		"flags win": {args: required + "--events=false --lock http://[::1]:2/", env: map[string]string{"PSL_EVENTS": "true", "PSL_LOCK_URL": "http://localhost:1"},
			after: 30 * time.Second, lock: "http://[::1]:2/"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, code, stderr := start(strings.Fields(tt.args)...)
			if code != 0 || cfg == nil || bool(cfg.Events) != tt.on || cfg.EventsAfter.Std() != tt.after || string(cfg.Lock) != tt.lock {
				t.Errorf("code %d, %s, config %+v", code, stderr, cfg)
			}
		})
	}
	for args, want := range map[string]string{
		"--events=perhaps":                   `--events: "perhaps" is not true or false`,
		"--events-after 0":                   "--events-after 0s: want 1s to 1h",
		"--events-after 61m":                 "--events-after 1h1m: want 1s to 1h",
		"--events-after soon":                "--events-after: ",
		"--lock 127.0.0.1:8888":              `--lock "127.0.0.1:8888": want an address such as`,
		"--lock https://127.0.0.1:8888":      "--lock",
		"--lock http://me:word@localhost":    "--lock",
		"--lock http://localhost:8888/?a=b":  "--lock",
		"--lock= --events --events-after=0s": `--lock "": want`,
	} {
		if cfg, code, stderr := start(strings.Fields(required + args)...); code != daemon.ExitBadSettings || cfg != nil || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, no %q in %s", args, code, want, stderr)
		}
	}
}
