// This file reports how big images are, against their limits.

package images

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Size is how many bytes an image takes.
type Size struct {
	Uncompressed int64 // on a node's disk
	Compressed   int64 // over the network
}

const megabyte = 1e6

// Measure adds up the layers of an image.
func Measure(img v1.Image) (Size, error) {
	layers, err := img.Layers()
	if err != nil {
		return Size{}, fmt.Errorf("list the image's layers: %w", err)
	}
	var size Size
	for _, layer := range layers {
		compressed, err := layer.Size()
		if err != nil {
			return Size{}, fmt.Errorf("measure a layer: %w", err)
		}
		content, err := layer.Uncompressed()
		if err != nil {
			return Size{}, fmt.Errorf("read a layer: %w", err)
		}
		uncompressed, err := io.Copy(io.Discard, content)
		content.Close()
		if err != nil {
			return Size{}, fmt.Errorf("read a layer: %w", err)
		}
		size.Compressed += compressed
		size.Uncompressed += uncompressed
	}
	return size, nil
}

// Report builds every component for every platform, prints a table of their sizes, and fails when one
// of them reaches its limit.
func Report(ctx context.Context, out io.Writer, components []Component, platforms []v1.Platform) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tPLATFORM\tUNCOMPRESSED MB\tLIMIT\tCOMPRESSED MB\t")
	tooBig := 0
	for _, component := range components {
		for _, platform := range platforms {
			img, err := Build(ctx, component, platform)
			if err != nil {
				return err
			}
			size, err := Measure(img)
			if err != nil {
				return fmt.Errorf("measure the image of %s: %w", component.Name, err)
			}
			limit, verdict := "none", ""
			if component.LimitMB > 0 {
				limit = fmt.Sprintf("%g", component.LimitMB)
				if float64(size.Uncompressed) >= component.LimitMB*megabyte {
					verdict = "TOO BIG"
					tooBig++
				}
			}
			fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%.1f\t%s\n", component.Name, platform,
				float64(size.Uncompressed)/megabyte, limit, float64(size.Compressed)/megabyte, verdict)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if tooBig > 0 {
		return fmt.Errorf("%d images are too big", tooBig)
	}
	return nil
}
