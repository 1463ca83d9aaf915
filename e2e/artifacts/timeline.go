// This file tells what happened in a cluster, in order of time.

package artifacts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// moment is one thing that happened.
type moment struct {
	at   time.Time
	who  string
	what string
}

// eventMoments reads Kubernetes events; those that were repeated stand at their first and their last time.
func eventMoments(events []corev1.Event) []moment {
	var story []moment
	for _, event := range events {
		who := strings.ToLower(event.InvolvedObject.Kind) + " " + event.InvolvedObject.Name
		what := event.Reason + ": " + strings.TrimSpace(event.Message)
		first := event.FirstTimestamp.Time
		if !event.EventTime.IsZero() {
			first = event.EventTime.Time
		}
		if first.IsZero() {
			first = event.CreationTimestamp.Time
		}
		story = append(story, moment{first, who, what})
		if last := event.LastTimestamp.Time; event.Count > 1 && last.After(first) {
			story = append(story, moment{last, who, fmt.Sprintf("%s (for the %dth time)", what, event.Count)})
		}
	}
	return story
}

// podMoments reads when pods were made, became ready, and when their containers began and ended.
func podMoments(pods []corev1.Pod) []moment {
	var story []moment
	for _, pod := range pods {
		who := "pod " + pod.Name
		story = append(story, moment{pod.CreationTimestamp.Time, who, "was created"})
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && !condition.LastTransitionTime.IsZero() {
				story = append(story, moment{condition.LastTransitionTime.Time, who, fmt.Sprintf("Ready became %s %s", condition.Status, condition.Reason)})
			}
		}
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if running := status.State.Running; running != nil {
				story = append(story, moment{running.StartedAt.Time, who, status.Name + " started and runs"})
			}
			for _, state := range []corev1.ContainerState{status.LastTerminationState, status.State} {
				if ended := state.Terminated; ended != nil {
					story = append(story,
						moment{ended.StartedAt.Time, who, status.Name + " started"},
						moment{ended.FinishedAt.Time, who, fmt.Sprintf("%s ended, exit code %d, %s", status.Name, ended.ExitCode, ended.Reason)})
				}
			}
		}
	}
	return story
}

// tell writes a story in order, each moment with the seconds since the first.
func tell(story []moment) string {
	story = slices.Clone(story)
	slices.SortStableFunc(story, func(a, b moment) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.who, b.who))
	})
	var text strings.Builder
	for _, m := range story {
		fmt.Fprintf(&text, "%s %8.1fs  %-40s %s\n", m.at.UTC().Format("15:04:05.000"), m.at.Sub(story[0].at).Seconds(), m.who, m.what)
	}
	return text.String()
}

// forgetManagers removes the managed fields, which are longer than the objects.
func forgetManagers(list runtime.Object) {
	_ = meta.EachListItem(list, func(item runtime.Object) error {
		if object, err := meta.Accessor(item); err == nil {
			object.SetManagedFields(nil)
		}
		return nil
	})
}
