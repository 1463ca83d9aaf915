// Changes of a node: how to find them and how to follow them.

package healthapi

import (
	"cmp"
	"reflect"
	"slices"
)

// Changes are the events that make was into is, without their times. The
// nodes' pods must be in order. Who is gone comes first: a pod that is made anew
// under its old name never stands beside its predecessor.
func Changes(was, is *Node) []Event {
	if was == nil || was.Name != is.Name || was.Synced != is.Synced {
		return []Event{{Node: is}}
	}
	var gone, events []Event
	i, j := 0, 0
	for i < len(was.Pods) || j < len(is.Pods) {
		switch order := next(was.Pods, is.Pods, i, j); {
		case order < 0:
			gone = append(gone, Event{Gone: was.Pods[i].UID})
			i++
		case order > 0:
			events = append(events, Event{Pod: &is.Pods[j]})
			j++
		default:
			if was.Pods[i] != is.Pods[j] {
				events = append(events, Event{Pod: &is.Pods[j]})
			}
			i, j = i+1, j+1
		}
	}
	if !reflect.DeepEqual(was.Status, is.Status) {
		events = append(events, Event{Status: &is.Status})
	}
	return append(gone, events...)
}

// next compares the pods to look at next; a list that is used up comes last.
func next(was, is []Pod, i, j int) int {
	switch {
	case i == len(was):
		return 1
	case j == len(is):
		return -1
	default:
		return ByName(was[i], is[j])
	}
}

// ByName is the order of a node's pods. A pod that is made anew under its old
// name has another UID, and is another pod.
func ByName(a, b Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

// Apply makes n what the event says it is now.
func (n *Node) Apply(e Event) {
	switch {
	case e.Node != nil:
		*n = *e.Node
		n.Pods = slices.Clone(n.Pods)
	case e.Status != nil:
		n.Status = *e.Status
	case e.Pod != nil:
		n.Pods = slices.DeleteFunc(n.Pods, func(p Pod) bool { return p.UID == e.Pod.UID })
		i, _ := slices.BinarySearchFunc(n.Pods, *e.Pod, ByName)
		n.Pods = slices.Insert(n.Pods, i, *e.Pod)
	case e.Gone != "":
		n.Pods = slices.DeleteFunc(n.Pods, func(p Pod) bool { return p.UID == e.Gone })
	}
}
