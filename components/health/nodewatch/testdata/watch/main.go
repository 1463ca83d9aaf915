// Watch is a watcher and nothing else, for the test that measures its memory.
// It says "synced" when it has seen everything, and "ready" when all pods are Ready.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"k8s.io/client-go/rest"

	"github.com/pod-startup-lock/pod-startup-lock/components/health/nodewatch"
	"github.com/pod-startup-lock/pod-startup-lock/components/healthapi"
)

func main() {
	sources, err := nodewatch.Connect(&rest.Config{Host: os.Args[1]}, os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	w := nodewatch.New(nodewatch.Config{Node: os.Args[2], InitContainers: []string{os.Args[3]}}, sources, slog.New(slog.DiscardHandler))
	go w.Run(context.Background())
	say(w, "synced", func(n *healthapi.Node) bool { return n.Synced })
	say(w, "ready", func(n *healthapi.Node) bool {
		for _, p := range n.Pods {
			if p.State != healthapi.PodReady {
				return false
			}
		}
		return true
	})
	select {} // until it is killed
}

func say(w *nodewatch.Watcher, what string, ok func(n *healthapi.Node) bool) {
	for {
		changed := w.Changed()
		if ok(w.Node()) {
			fmt.Println(what)
			return
		}
		<-changed
	}
}
