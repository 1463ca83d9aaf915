// seen.go finds out what happened to a pod from two of its states.

package kind

import (
	"fmt"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

// seen is what is known of a pod so far.
type seen struct {
	former   string    // the last container of a life that is over, by its id
	last     string    // the last container that ran
	running  string    // the same while it runs
	since    time.Time // when it was started
	restarts int32
	ready    bool
}

// reborn is what is known at the beginning of another life.
func (s seen) reborn() seen { return seen{former: s.last, restarts: s.restarts} }

// happening is something that happened, and when; the stamp is the whole second
// that the status has for it.
type happening struct {
	at, stamp time.Time
	what      record.What
	note      string
}

// update compares the pod with what is known and tells the difference.
func (s *seen) update(pod *corev1.Pod, now time.Time) []happening {
	var news []happening
	add := func(stamp time.Time, what record.What, note string) {
		news = append(news, happening{moment(stamp, now), stamp, what, note})
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name != appName || c.ContainerID != "" && c.ContainerID == s.former {
			continue // of a former life: nobody has told the API server yet that it is over
		}
		if t := c.LastTerminationState.Terminated; t != nil && s.running == t.ContainerID && s.running != "" {
			add(t.FinishedAt.Time, record.Stopped, ending(t))
			s.running, s.ready = "", false
		}
		if t := c.State.Terminated; t != nil && s.running == t.ContainerID && s.running != "" {
			add(t.FinishedAt.Time, record.Stopped, ending(t))
			s.running, s.ready = "", false
		}
		if r := c.State.Running; r != nil && s.running != c.ContainerID {
			// A container that came and went between two states of the pod.
			if t := c.LastTerminationState.Terminated; t != nil && c.RestartCount > s.restarts+1 {
				add(t.StartedAt.Time, record.Started, "")
				add(t.FinishedAt.Time, record.Stopped, ending(t))
			}
			add(r.StartedAt.Time, record.Started, "")
			s.running, s.last, s.since, s.ready = c.ContainerID, c.ContainerID, r.StartedAt.Time, false
		}
		s.restarts = c.RestartCount
	}
	for _, c := range pod.Status.Conditions {
		if c.Type != corev1.PodReady || s.running == "" || s.ready == (c.Status == corev1.ConditionTrue) {
			continue
		}
		what, at := record.Unready, c.LastTransitionTime.Time
		if s.ready = !s.ready; s.ready {
			what = record.Ready
		}
		if at.Before(s.since) { // since an earlier container, and told of at no time in between
			at = s.since
		}
		add(at, what, "")
	}
	return news
}

// moment is when something happened that the status dates to a whole second and
// that was heard of later: within that second, and not after it was heard.
func moment(status, heard time.Time) time.Time {
	if status.IsZero() || heard.Before(status) {
		return heard
	}
	if end := status.Add(time.Second); heard.After(end) {
		return end
	}
	return heard
}

// ending says how a container ended. The status does not tell which probe it
// was that the kubelet stopped it for.
func ending(t *corev1.ContainerStateTerminated) string {
	if t.ExitCode == 128+int32(syscall.SIGTERM) {
		return "stopped by the kubelet"
	}
	if t.Reason != "" && t.Reason != "Error" && t.Reason != "Completed" {
		return fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
	}
	return fmt.Sprintf("exit code %d", t.ExitCode)
}
