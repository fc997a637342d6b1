package vm_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm"
)

// TestWatchSeesEachStateThatAPowerCutCouldLeave has a guest write a file in the way that survives power cuts, and in the way that does not.
func TestWatchSeesEachStateThatAPowerCutCouldLeave(t *testing.T) {
	v := vm.Start(t, debian.Trixie, "node-1")
	v.MustRun("mount", "-o", "remount,commit=1000", "/") // The kernel itself syncs nothing meanwhile.
	v.MustRun("sh", "-c", "mkdir /etc/watched; echo old >/etc/watched/file; ln -s file /etc/watched/link; sync")
	var seen []string
	var fork *vm.VM
	end := v.Watch(func(d *vm.Durable) {
		files, err := d.Files("/etc", "/var/lib/nothing")
		if err != nil {
			t.Error(err)
		}
		is := strings.Join([]string{files["/etc/watched/file"], files["/etc/watched/new"], files["/etc/watched/link"]}, "|")
		if strings.Contains(is, "|-rw-r--r-- new") && fork == nil {
			if fork, err = d.Fork("node-1"); err != nil {
				t.Error(err)
			}
		}
		if len(seen) == 0 || seen[len(seen)-1] != is {
			seen = append(seen, is)
		}
	})
	v.MustRun("sh", "-ec", `cd /etc/watched
echo new >new; sync new .
mv new file; sync .
echo lost >file`)
	end()
	want := []string{
		"-rw-r--r-- old\n||Lrwxrwxrwx file", // before the journal's commit
		"-rw-r--r-- old\n|-rw-r--r-- new\n|Lrwxrwxrwx file",
		"-rw-r--r-- new\n||Lrwxrwxrwx file",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("a power cut could have left %q, not %q", seen, want)
	}
	v.Kill()
	if fork == nil {
		t.Fatal("there is no fork")
	}
	fork.Boot()
	if got := fork.MustRun("sh", "-c", "cd /etc/watched; cat file new"); got != "old\nnew\n" {
		t.Errorf("a machine with such a disk has %q", got)
	}
}
