// The program as a whole: settings of both generations, exit codes, signals,
// the termination log. The test binary runs itself as init.

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const asInit = "PSL_TEST_RUN_AS_INIT"

// runInstead makes this process the program under test when a test asks for it.
func runInstead() {
	if os.Getenv(asInit) != "" {
		main()
	}
}

// command is init with a clean environment, and patience: this machine may be busy.
func command(t *testing.T, env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append([]string{asInit + "=1", "GOCOVERDIR=" + t.TempDir(), "PSL_LOCK_CHECK_TIMEOUT=20"}, env...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stderr, &stderr
	return cmd, &stderr
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func listen(t *testing.T, lock http.Handler) (host, port string) {
	t.Helper()
	srv := httptest.NewServer(lock)
	t.Cleanup(srv.Close)
	host, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// Command lines and environments of both earlier generations, as their users
// have them, against a lock of their own generation and against ours.
func TestSettingsOfBothGenerations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, args []string
	}{
		"1.x":                       {args: []string{"--host", "HOST", "--port", "PORT", "--duration", "60", "--pause", "1"}},
		"1.x, single dashes":        {args: []string{"-host=HOST", "-port", "PORT", "-duration=60", "-pause", "1"}},
		"1.x, first releases":       {args: []string{"--host", "HOST", "--port", "PORT", "--timeout", "60", "--pause=1"}},
		"2.x":                       {env: []string{"PSL_LOCK_HOST=HOST", "PSL_LOCK_PORT=PORT", "PSL_LOCK_DURATION=60s", "PSL_LOCK_CHECK_PERIOD=1s", "PSL_LOCK_CHECK_TIMEOUT=10s", "PSL_LOG=info"}},
		"2.x, bare numbers":         {env: []string{"PSL_LOCK_HOST=HOST", "PSL_LOCK_PORT=PORT", "PSL_LOCK_DURATION=60", "PSL_LOCK_CHECK_PERIOD=1"}},
		"flags win":                 {env: []string{"PSL_LOCK_PORT=nonsense", "PSL_LOCK_DURATION=5"}, args: []string{"--host", "HOST", "--port", "PORT", "--duration", "1m"}},
		"empty variables are unset": {env: []string{"PSL_LOCK_HOST=", "PSL_LOCK_CHECK_PERIOD=", "PSL_ON_MAX_WAIT="}, args: []string{"-host", "HOST", "-port", "PORT", "-duration", "60"}},
	} {
		for generation, status := range map[string]int{"legacy lock": 1, "v1 lock": 2} {
			t.Run(name+"/"+generation, func(t *testing.T) {
				t.Parallel()
				legacy, v1 := newLegacyLock(10*time.Second), newScript(grant("g"))
				var lock http.Handler = v1
				if status == 1 {
					lock = legacy
				}
				host, port := listen(t, lock)
				fill := func(in []string) (out []string) {
					for _, s := range in {
						out = append(out, strings.NewReplacer("HOST=HOST", "HOST="+host, "=HOST", "="+host, "PORT=PORT", "PORT="+port).Replace(s))
						switch s {
						case "HOST":
							out[len(out)-1] = host
						case "PORT":
							out[len(out)-1] = port
						}
					}
					return out
				}
				cmd, output := command(t, fill(c.env), fill(c.args)...)
				if code := exitCode(t, cmd.Run()); code != 0 {
					t.Fatalf("exit code %d\n%s", code, output)
				}
				if legacy.log != nil && !strings.HasSuffix(legacy.log[0], "POST /v1/acquire?duration=60: 200") {
					t.Errorf("asked %q", legacy.log)
				}
				if r := v1.requests(); r != nil && (r[0].path != "/v1/acquire?duration=60" || r[0].Pod.UID == "") {
					t.Errorf("asked %+v", r)
				}
			})
		}
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, args, want []string
	}{
		"all at once": {
			env: []string{"PSL_LOCK_PORT=tcp://10.0.0.1:80", "POD_NAME=" + strings.Repeat("x", 300), "PSL_LOG=loud"},
			args: []string{"--duration", "-5", "--pause", "0", "--check-timeout=1e9", "--weight", "-1", "--priority", "1001",
				"--on-max-wait", "panic", "--release-on", "never", "--host", "http://lock", "--max-wait", "soon", "--stagger", "48h"},
			want: []string{"--port", "--duration", "--pause", "--check-timeout", "--weight", "--priority", "--on-max-wait",
				"--release-on", "--host", "--max-wait", "--stagger", "--pod-name", "--log-level"},
		},
		"long lease":     {args: []string{"--duration", "25h"}, want: []string{"at most 24h"}},
		"port too large": {args: []string{"--port", "70000"}, want: []string{"--port 70000: want 1 to 65535"}},
		"left-over":      {args: []string{"start"}, want: []string{`unexpected argument "start"`}},
		"unknown flag":   {args: []string{"--hots", "x"}, want: []string{"hots"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, output := command(t, c.env, c.args...)
			if code := exitCode(t, cmd.Run()); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !strings.Contains(output.String(), want) {
					t.Errorf("%q is not named in:\n%s", want, output)
				}
			}
		})
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			waiting := make(chan struct{})
			lock := newScript(place(2), after(25*time.Second, place(2)))
			lock.onAsk = func(a asked) {
				if a.Wait > 0 {
					close(waiting)
				}
			}
			host, port := listen(t, lock)
			cmd, output := command(t, nil, "--host", host, "--port", port)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-waiting
			sent := time.Now()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := exitCode(t, cmd.Wait()); code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, output)
			}
			// TestStopGivesUpThePlace has the exact bound; this one allows for a machine that is busy.
			if took := time.Since(sent); took > 3*time.Second {
				t.Errorf("took %s to stop", took)
			}
			if r := lock.requests(); r[len(r)-1].Release != "p1" {
				t.Errorf("the place was not given up: %+v", r)
			}
		})
	}
}

func TestTerminationLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there, absent := filepath.Join(dir, "there"), filepath.Join(dir, "absent")
	if err := os.WriteFile(there, []byte(strings.Repeat("old ", 100)), 0o666); err != nil {
		t.Fatal(err)
	}
	host, port := listen(t, newScript(grant("secret")))
	for _, path := range []string{there, absent, dir, ""} {
		cmd, output := command(t, nil, "--host", host, "--port", port, "--termination-log", path)
		if code := exitCode(t, cmd.Run()); code != 0 || strings.Contains(output.String(), "secret") {
			t.Errorf("%q: exit code %d\n%s", path, code, output)
		}
	}
	if note, err := os.ReadFile(there); err != nil || !strings.HasPrefix(string(note), "startup slot granted: waited ") ||
		!strings.HasSuffix(string(note), ", lease 10s, limit 2\n") {
		t.Errorf("note %q, %v", note, err)
	}
	if _, err := os.Stat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}

	cmd, output := command(t, nil, "--host", host, "--port", "1", "--max-wait", "10ms", "--on-max-wait", "fail", "--termination-log", there)
	if code := exitCode(t, cmd.Run()); code != 1 {
		t.Errorf("exit code %d\n%s", code, output)
	}
	if note, _ := os.ReadFile(there); !strings.HasPrefix(string(note), "no startup slot after ") {
		t.Errorf("note %q", note)
	}
}
