// init inject: the init container put into manifests, where the cluster does not do it.

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/init/inject"
)

// injectCommand is for people and pipelines; it asks no lock.
func injectCommand() *cli.Command {
	o := inject.Defaults(daemon.BuildInfo().Version)
	var settings daemon.Settings
	image, policy, host, port := daemon.Text(o.Image), daemon.Text(o.PullPolicy), daemon.Text(o.Host), daemon.Number(o.Port)
	return &cli.Command{
		Name:  "inject",
		Usage: "put the init container into manifests",
		Description: `kubectl get deploy -o yaml | init inject -f - | kubectl apply -f -

It comes first in every pod template that has none; the rest stays as it is, comments included.
Not into: pods of DaemonSets, the namespace kube-system, pods with the label startup-lock=disabled or the
annotation startup-lock.io/skip: "true". Other kinds pass through. On an error nothing is written.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "filename", Aliases: []string{"f"}, Usage: "`FILE` with manifests, - for stdin; repeatable"},
			settings.Flag("image", &image, "`IMAGE` of the init container"),
			settings.Flag("image-pull-policy", &policy, "`WHEN` to pull it: Always, IfNotPresent or Never"),
			settings.Flag("host", &host, "`NAME` or address of the lock's Service"),
			settings.Flag("port", &port, "`PORT` of the lock's Service"),
			&cli.BoolFlag{Name: "daemonsets", Usage: "inject into pods of DaemonSets too"},
			&cli.BoolFlag{Name: "kube-system", Usage: "inject into the namespace kube-system too"},
		},
		Action: func(c *cli.Context) error {
			o := inject.Options{Image: string(image), PullPolicy: string(policy), Host: string(host), Port: int(port),
				DaemonSets: c.Bool("daemonsets"), KubeSystem: c.Bool("kube-system")}
			files := c.StringSlice("filename")
			var p daemon.Problems
			settings.Validate(&p, c.Args().Slice())
			checkInjection(&p, o, files)
			if err := p.Err(); err != nil {
				return err
			}
			signal.Reset(syscall.SIGINT, syscall.SIGTERM) // reading stdin would not hear of them
			debug.SetGCPercent(100)                       // nobody's node, and much to remember
			return injectAll(c.App, files, o)
		},
	}
}

func checkInjection(p *daemon.Problems, o inject.Options, files []string) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			p.Add(format, args...)
		}
	}
	stdins := 0
	for _, f := range files {
		if f == "-" {
			stdins++
		}
	}
	check(len(files) > 0, "-f: want a file with manifests, or - for stdin")
	check(stdins < 2, "-f -: there is only one stdin")
	check(isPlain(o.Image), "--image %q: want an image reference", o.Image)
	check(slices.Contains([]string{"Always", "IfNotPresent", "Never"}, o.PullPolicy),
		"--image-pull-policy %q: want Always, IfNotPresent or Never", o.PullPolicy)
	check(isPlain(o.Host) && !strings.ContainsAny(o.Host, "/@"), "--host %q: want a host name or an address", o.Host)
	check(o.Port >= 1 && o.Port <= 65535, "--port %d: want 1 to 65535", o.Port)
}

// isPlain accepts what names of hosts and images are made of.
func isPlain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._:/@[]", r)
	})
}

// injectAll reads and understands every file before it writes anything.
func injectAll(app *cli.App, files []string, o inject.Options) error {
	var all []byte
	var warnings []string
	for _, name := range files {
		in, err := readManifests(app.Reader, name)
		if err != nil {
			return err
		}
		out, warned, err := inject.Manifests(in, o)
		if err != nil {
			return fmt.Errorf("inject into %s: %w", called(name), err)
		}
		all = join(all, out)
		for _, w := range warned {
			warnings = append(warnings, called(name)+": "+w)
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(app.ErrWriter, "%s: warning: %s\n", app.Name, w)
	}
	if _, err := app.Writer.Write(all); err != nil {
		return fmt.Errorf("write the manifests: %w", err)
	}
	return nil
}

// readManifests reads no more than it takes to see that there is too much.
func readManifests(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, inject.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	return b, nil
}

func called(name string) string {
	if name == "-" {
		return "stdin"
	}
	return name
}

// join puts what one file holds behind what others do, as documents of their own.
func join(all, more []byte) []byte {
	if len(all) == 0 || len(more) == 0 {
		return append(all, more...)
	}
	if !bytes.HasSuffix(all, []byte("\n")) {
		all = append(all, '\n')
	}
	if !bytes.HasPrefix(more, []byte("---")) {
		all = append(all, "---\n"...)
	}
	return append(all, more...)
}
