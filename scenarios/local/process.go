// process.go is a child process as a container: in a group of its own, with its output in a file.

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; set before done is closed
}

// start runs a program on the node, with env beside this program's own
// environment, and adds its output to a file.
func (l *launcher) start(logFile string, env []string, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	defer func() { _ = out.Close() }()    // the child has its own
	cmd := exec.Command(program, args...) //nolint:noctx // our own programs; Stop ends them, with a grace
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := l.launch(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	l.children.Go(func() {
		defer close(p.done)
		p.err = cmd.Wait()
	})
	return p, nil
}

// Done is closed when the process has ended.
func (p *process) Done() <-chan struct{} { return p.done }

// Err is how it ended.
func (p *process) Err() error { return p.err }

// how is how it ended, also when that was well.
func (p *process) how() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Stop ends the process: SIGTERM, and SIGKILL after the grace.
func (p *process) Stop(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGCONT) // in case it waits for its turn
		select {
		case <-p.done:
			return
		case <-time.After(grace):
		}
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal reaches the process and whatever it started. One that has ended needs none.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, s); errors.Is(err, syscall.ESRCH) {
		// Between fork and setpgid there is no group yet.
		_ = p.cmd.Process.Signal(s)
	}
}
