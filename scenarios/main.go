// Scenarios runs herds of pods under different lock policies and reports what
// happened: go run ./scenarios run herd --on local.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/live"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
)

// Exit codes beside 0.
const (
	exitFailed      = 1 // an expectation does not hold, or the run could not be made
	exitBadInput    = 2
	exitInterrupted = 130
)

func main() { os.Exit(run(os.Args)) }

// run runs the program and answers with its exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newApp().RunContext(ctx, nameLast(args))
	var exit cli.ExitCoder
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted")
		return exitInterrupted
	case errors.As(err, &exit):
		if err.Error() != "" {
			fmt.Fprintln(os.Stderr, err)
		}
		return exit.ExitCode()
	default:
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
}

// nameLast puts the arguments of a command behind its flags, which is where the
// flag parser wants them: people write "run herd --on local".
func nameLast(args []string) []string {
	if len(args) < 3 || strings.HasPrefix(args[1], "-") {
		return args
	}
	flags := slices.IndexFunc(args[2:], func(a string) bool { return strings.HasPrefix(a, "-") })
	if flags < 0 {
		return args
	}
	return slices.Concat(args[:2], args[2+flags:], args[2:2+flags])
}

func newApp() *cli.App {
	var set settings
	return &cli.App{
		Name:           "scenarios",
		Usage:          "start a herd of pods under different lock policies, and report what happens",
		HideVersion:    true,
		ExitErrHandler: func(*cli.Context, error) {}, // main does it
		OnUsageError:   badUsage,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("%q is no command: see %s --help", c.Args().First(), c.App.Name), exitBadInput)
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			{
				Name:         "list",
				Usage:        "list the scenarios that come with the project",
				OnUsageError: badUsage,
				Action:       func(c *cli.Context) error { return list(c.App.Writer) },
			},
			{
				Name:         "run",
				Usage:        "run a scenario and write its report",
				ArgsUsage:    "NAME or FILE.yaml",
				OnUsageError: badUsage,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "on", Destination: &set.on, Usage: "`PLACE` to run on: local (processes on this machine), kind (pods on a kind cluster) or sim (a model of a node)"},
					&cli.StringSliceFlag{Name: "policy", Usage: "run only the policy `NAME`; repeatable (default: all)"},
					&cli.IntFlag{Name: "repeat", Destination: &set.repeat, Value: 1, Usage: "run every policy `N` times"},
					&cli.StringFlag{Name: "give-up", Destination: &set.giveUp, Usage: "end a run without a lock that is not Ready after `TIME`"},
					&cli.StringFlag{Name: "limit", Destination: &set.limit, Value: "15m", Usage: "end any run that is not Ready after `TIME`"},
					&cli.StringFlag{Name: "cluster", Destination: &set.cluster, EnvVars: []string{"E2E_CLUSTER"}, Usage: "`NAME` of the kind cluster (default: the one of the e2e suite)"},
					&cli.IntFlag{Name: "nodes", Destination: &set.nodes, Usage: "with --on sim: let the herd land on `N` nodes and tell how they fared, instead of a report"},
					&cli.StringFlag{Name: "out", Destination: &set.out, Usage: "`FOLDER` for the report (default: _artifacts/scenarios/NAME-PLACE)"},
				},
				Action: func(c *cli.Context) error {
					set.names, set.policies = c.Args().Slice(), c.StringSlice("policy")
					p, err := set.plan()
					if err != nil {
						return cli.Exit(err, exitBadInput)
					}
					return execute(c.Context, p, live.To(os.Stderr), c.App.Writer)
				},
			},
			{
				Name:         "report",
				Usage:        "render the report in a folder anew from its " + record.File,
				ArgsUsage:    "FOLDER",
				OnUsageError: badUsage,
				Action: func(c *cli.Context) error {
					if c.NArg() != 1 {
						return cli.Exit("report: want one folder with a "+record.File, exitBadInput)
					}
					dir := c.Args().First()
					result, err := record.Read(dir)
					if err != nil {
						return cli.Exit(err, exitBadInput)
					}
					return conclude(c.App.Writer, dir, result)
				},
			},
			simulateCommand(),
			compareCommand(),
			planCommand(),
		},
	}
}

func badUsage(_ *cli.Context, err error, _ bool) error { return cli.Exit(err, exitBadInput) }

// conclude writes the reports and the summary, and fails if an expectation does.
func conclude(out io.Writer, dir string, result *record.Result) error {
	if err := result.Write(dir); err != nil {
		return err
	}
	page, err := report.Write(dir, result)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := report.Table(out, result); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nreport: %s\n", page)
	var broken []string
	for _, o := range result.Outcomes {
		for _, c := range o.Broken() {
			broken = append(broken, fmt.Sprintf("policy %s: %s", o.Run.Policy.Name, c))
		}
	}
	return refuse(broken)
}

// refuse is the error that names what does not hold; nil when everything does.
func refuse(broken []string) error {
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("what the scenario expects does not hold:\n%s", strings.Join(broken, "\n"))
}
