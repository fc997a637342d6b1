package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"multinic.dev/testbed/said"
	"multinic.dev/testbed/vm/disk"
	"multinic.dev/testbed/vm/image"
	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
)

const (
	// program and its package are what this machine must have.
	program      = "qemu-system-x86_64"
	programOwner = "qemu-system-x86"

	// kernelArguments are those of the guest's kernel. What it does not need to protect itself from costs half of its speed,
	// and it need not find out on which clock an emulated processor can rely.
	kernelArguments = "console=ttyS0 quiet mitigations=off audit=0 tsc=reliable panic=-1 systemd.getty_auto=no systemd.show_status=no"
	// ownArguments are further ones with the initrd of ours, and debianArguments with Debian's.
	ownArguments    = " net.ifnames=0"
	debianArguments = " root=/dev/vda rw"
)

// arguments are those of qemu that every machine has; its snapshot can be resumed only where they are the same.
func arguments() []string {
	return []string{
		"-accel", "tcg,tb-size=128", "-cpu", "max", "-machine", "pc", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none",
		// A kernel that panics, or reboots, ends the machine.
		"-no-reboot", "-rtc", "base=utc",
		"-chardev", "file,id=console,path=console", "-serial", "chardev:console",
		"-device", "virtio-serial-pci,addr=0x2", "-chardev", "socket,id=agent,path=agent,server=on,wait=off",
		"-device", "virtserialport,chardev=agent,name=" + order.Port,
		"-blockdev", "driver=nbd,node-name=disk,server.type=unix,server.path=disk", "-device", "virtio-blk-pci,addr=0x3,drive=disk",
		"-qmp", "unix:monitor,server=on,wait=off",
	}
}

// machine is a virtual machine that is switched on.
type machine struct {
	// folder has its sockets and what it writes on its console.
	folder string
	cmd    *exec.Cmd
	said   said.Output
	// ended is closed when qemu has.
	ended   chan struct{}
	monitor *monitor
	line    *streams.Line
	// listening are the goroutines that end with the machine.
	listening sync.WaitGroup
	listener  net.Listener
}

// way is how a machine is switched on.
type way struct {
	// image is the folder with the kernel and the initrd, and disk what it boots from.
	image string
	disk  *disk.Disk
	// debian is whether it boots by Debian's own initrd, and names its links as Debian does.
	debian bool
	// from is the file with the state that it goes on from; empty: it boots.
	from string
	// more are further arguments of qemu, which speak of files, from descriptor 3 on.
	more  []string
	files []*os.File
	// accept is called for each stream that the guest opens.
	accept func(m *machine, s *streams.Stream)
}

// switchOn starts qemu. The context is for that alone.
func switchOn(ctx context.Context, w way) (_ *machine, err error) {
	// A socket's path must be short.
	short, err := os.MkdirTemp("/run", "vm-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for sockets: %w", err)
	}
	m := &machine{folder: short, ended: make(chan struct{})}
	if m.listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(short, "disk")); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the user of the disk: %w", err), os.RemoveAll(short))
	}
	initrd, further := image.Initrd, ownArguments
	if w.debian {
		initrd, further = image.Debian, debianArguments
	}
	all := append(arguments(),
		"-kernel", filepath.Join(w.image, image.Kernel), "-initrd", filepath.Join(w.image, initrd), "-append", kernelArguments+further)
	if w.from != "" {
		all = append(all, "-incoming", "defer")
	}
	m.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, append(all, w.more...)...)
	m.cmd.Dir, m.cmd.ExtraFiles = short, w.files
	m.cmd.Stdout, m.cmd.Stderr = &m.said, &m.said
	m.cmd.WaitDelay = letGo
	if err := m.start(w.disk); err != nil {
		return nil, err
	}
	if err := m.begin(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; %s", err, m.story()), m.kill(), m.tidy())
	}
	return m, nil
}

// start starts qemu, whose end is waited for from then on.
func (m *machine) start(d *disk.Disk) error {
	m.listening.Go(func() {
		if err := d.Serve(m.listener); err != nil {
			_, _ = fmt.Fprintf(&m.said, "the disk: %v\n", err)
		}
	})
	started := make(chan error)
	go func() {
		defer close(m.ended)
		err := startBound(m.cmd, started)
		if err == nil {
			_ = m.cmd.Wait() // How it ended is of no interest, only what it said.
		}
		_ = m.listener.Close() // The disk has no other user.
	}()
	if err := <-started; err != nil {
		<-m.ended
		return errors.Join(fmt.Errorf("start %s: %w", program, err), m.tidy())
	}
	return nil
}

// begin connects to qemu, and has it go on from a state if there is one.
func (m *machine) begin(ctx context.Context, w way) error {
	connection, err := m.connect(ctx, "monitor")
	if err != nil {
		return err
	}
	if m.monitor, err = openMonitor(ctx, connection); err != nil {
		return err
	}
	// The guest must not see that nobody is at the other end.
	port, err := m.connect(ctx, "agent")
	if err != nil {
		return err
	}
	m.line = streams.New(port, streams.Machine, func(s *streams.Stream) { w.accept(m, s) })
	m.listening.Go(func() { _ = m.line.Run() }) // It ends with the machine.
	if w.from == "" {
		return nil
	}
	if _, err := m.monitor.do(ctx, "migrate-set-capabilities", capabilities("events")); err != nil {
		return err
	}
	if _, err := m.monitor.do(ctx, "migrate-incoming", map[string]any{"uri": "exec:exec cat " + quoted(w.from)}); err != nil {
		return err
	}
	err = m.monitor.await(ctx, "taken up the state", func(e message) bool { return e.Event == "MIGRATION" && e.Data["status"] == "completed" })
	if err != nil {
		return err
	}
	// The state was saved of a machine that had been stopped.
	_, err = m.monitor.do(ctx, "cont", nil)
	return err
}

func capabilities(names ...string) map[string]any {
	var list []map[string]any
	for _, name := range names {
		list = append(list, map[string]any{"capability": name, "state": true})
	}
	return map[string]any{"capabilities": list}
}

// quoted is a word of sh.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// save stops the machine and writes its state into a file.
func (m *machine) save(ctx context.Context, to string) error {
	if _, err := m.monitor.do(ctx, "stop", nil); err != nil {
		return err
	}
	if _, err := m.monitor.do(ctx, "migrate-set-capabilities", capabilities("events")); err != nil {
		return err
	}
	// As fast as it goes.
	if _, err := m.monitor.do(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 40}); err != nil {
		return err
	}
	if _, err := m.monitor.do(ctx, "migrate", map[string]any{"uri": "exec:exec cat >" + quoted(to)}); err != nil {
		return err
	}
	return m.monitor.await(ctx, "saved the state", func(e message) bool { return e.Event == "MIGRATION" && e.Data["status"] == "completed" })
}

// connect connects to one of qemu's sockets, as soon as it is there.
func (m *machine) connect(ctx context.Context, name string) (*net.UnixConn, error) {
	address := &net.UnixAddr{Name: filepath.Join(m.folder, name), Net: "unix"}
	for {
		connection, err := net.DialUnix("unix", nil, address)
		if err == nil {
			return connection, nil
		}
		select {
		case <-m.ended:
			return nil, errors.New("qemu has ended")
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to qemu: %w", err)
		case <-after(socketInterval):
		}
	}
}

// kill ends qemu at once, and returns when it has ended.
func (m *machine) kill() error {
	if err := syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill qemu: %w", err)
	}
	<-m.ended
	return nil
}

// tidy removes what is left of a machine that has ended.
func (m *machine) tidy() error {
	if m.monitor != nil {
		_ = m.monitor.Close() // There is nobody at the other end any more, nor of the line.
	}
	if m.line != nil {
		_ = m.line.Close()
	}
	m.listening.Wait()
	if err := os.RemoveAll(m.folder); err != nil {
		return fmt.Errorf("remove the folder of the machine's sockets: %w", err)
	}
	return nil
}

// story is what the machine said last, for whoever wonders.
func (m *machine) story() string {
	console, _ := os.ReadFile(filepath.Join(m.folder, "console"))
	const most = 4000
	return "qemu (process " + strconv.Itoa(m.cmd.Process.Pid) + ") printed:\n" + m.said.String() +
		"the guest's console had:\n" + string(console[max(0, len(console)-most):])
}
