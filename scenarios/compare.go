// compare.go puts results that were recorded before side by side, wherever they were made.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/report"
)

func compareCommand() *cli.Command {
	var out string
	return &cli.Command{
		Name:         "compare",
		Usage:        "compare recorded results of any place",
		ArgsUsage:    "FOLDER ... with a " + record.File + ", or with folders that have one",
		OnUsageError: badUsage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Destination: &out, Value: filepath.Join("_artifacts", "scenarios", "compare"), Usage: "`FOLDER` for the comparison"},
		},
		Action: func(c *cli.Context) error {
			entries, err := recorded(c.Args().Slice(), out)
			if err != nil {
				return cli.Exit(err, exitBadInput)
			}
			return compare(c.App.Writer, out, entries)
		},
	}
}

// recorded reads the results of folders. It names every folder that has none.
func recorded(folders []string, out string) ([]report.Entry, error) {
	if len(folders) == 0 {
		return nil, errors.New("compare: want folders with a " + record.File)
	}
	var entries []report.Entry
	var problems []error
	for _, folder := range folders {
		dirs := []string{folder}
		if _, err := os.Stat(filepath.Join(folder, record.File)); errors.Is(err, os.ErrNotExist) {
			within, err := filepath.Glob(filepath.Join(folder, "*", record.File))
			if err == nil && len(within) > 0 {
				dirs = nil
			}
			for _, file := range within {
				dirs = append(dirs, filepath.Dir(file))
			}
		}
		for _, dir := range dirs {
			result, err := record.Read(dir)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", folder, err))
				continue
			}
			entries = append(entries, report.Entry{Result: result, Page: link(out, filepath.Join(dir, report.PageFile))})
		}
	}
	return entries, errors.Join(problems...)
}

// link is the way from a page in a folder to another page, if that is there.
func link(from, page string) string {
	if _, err := os.Stat(page); err != nil {
		return ""
	}
	base, err := filepath.Abs(from)
	if err != nil {
		return ""
	}
	target, err := filepath.Abs(page)
	if err != nil {
		return ""
	}
	way, err := filepath.Rel(base, target)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(way)
}
