package pressure

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func text(n uint64) string { return strconv.FormatUint(n, 10) }

func TestTheTotalsOfAnyPressureAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some, full := rapid.Uint64().Draw(t, "some"), rapid.Uint64().Draw(t, "full")
		gotSome, gotFull, err := parsePSI([]byte(psiText(some, full)))
		if err != nil || gotSome != some || gotFull != full {
			t.Fatalf("%d, %d, %v", gotSome, gotFull, err)
		}
	})
}

func TestWhyThereIsNoPressure(t *testing.T) {
	t.Parallel()
	of := func(err error) error { return &fs.PathError{Op: "read", Path: "/proc/pressure/cpu", Err: err} }
	tests := map[string]struct {
		err  error
		want string
	}{
		"no file":      {of(syscall.ENOENT), "built or booted without PSI"},
		"psi=0":        {of(syscall.EOPNOTSUPP), "PSI is switched off"},
		"not allowed":  {of(syscall.EACCES), "something masks it"},
		"not for you":  {of(syscall.EPERM), "something masks it"},
		"empty":        {errEmpty, "something masks it"},
		"another text": {errText, "something else than pressure"},
		"any other":    {errors.New("the disk is on fire"), "the disk is on fire"},
	}
	for name, test := range tests {
		if got := why(test.err); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
