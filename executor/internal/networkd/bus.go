package networkd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	// patience is how long a service of the host's may take to answer. It takes milliseconds.
	patience = 5 * time.Second
	// rest is for how long the host's system bus is not asked again that has not answered in time: the node's work waits for the answer,
	// and a change asks several times.
	rest = 15 * time.Second
)

// The names on the bus; see org.freedesktop.network1(5) and org.freedesktop.systemd1(5).
const (
	networkName = "org.freedesktop.network1"
	networkPath = "/org/freedesktop/network1"
	systemdName = "org.freedesktop.systemd1"
	systemdPath = "/org/freedesktop/systemd1"
)

// errSilent says that the host's system bus has not answered.
var errSilent = fmt.Errorf("the host's system bus (D-Bus) has not answered within %v: find out why it hangs, or restart the host", patience)

// on calls f with a connection to the host's system bus, which ends with it. A bus that has not answered only just is not asked. Errors:
// errSilent.
func (m *Manager) on(ctx context.Context, f func(ctx context.Context, bus *dbus.Conn) error) error {
	if time.Since(m.silent) < rest {
		return errSilent
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reached := false
	err := m.connect(ctx, func(bus *dbus.Conn) error {
		reached = true
		return f(ctx, bus)
	})
	if err != nil && !reached && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		m.silent = time.Now()
		return errSilent
	}
	return err
}

// connect calls f with a connection to the host's system bus, which ends with it.
func (m *Manager) connect(ctx context.Context, f func(bus *dbus.Conn) error) (err error) {
	socket, err := filepath.EvalSymlinks(m.at("run/dbus/system_bus_socket"))
	if err != nil {
		socket = m.at("run/dbus/system_bus_socket") // A path of /proc, which nothing but the kernel can follow.
	}
	bus, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("reach the host's system bus: %w", err)
	}
	defer func() { err = errors.Join(err, bus.Close()) }()
	if err := bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(unix.Geteuid()))}); err != nil {
		return fmt.Errorf("reach the host's system bus: %w", err)
	}
	if err := bus.Hello(); err != nil {
		return fmt.Errorf("reach the host's system bus: %w", err)
	}
	return f(bus)
}

// reload has networkd read its files.
func (m *Manager) reload(ctx context.Context) error {
	return m.on(ctx, func(ctx context.Context, bus *dbus.Conn) error {
		if err := bus.Object(networkName, networkPath).CallWithContext(ctx, networkName+".Manager.Reload", dbus.FlagNoAutoStart).Err; err != nil {
			return fmt.Errorf("have networkd read its files: %w", err)
		}
		return nil
	})
}

// service is what systemd says of networkd.
type service struct {
	// version is systemd's.
	version int
	// started is when networkd began, by the clock as it is now and as it was then, whichever is earlier.
	started time.Time
	// id tells this run of networkd from others since the boot.
	id string
}

var errNotRunning = errors.New("it does not run")

// service asks systemd about networkd.
func (m *Manager) service(ctx context.Context) (s service, err error) {
	err = m.on(ctx, func(ctx context.Context, bus *dbus.Conn) error {
		systemd := bus.Object(systemdName, systemdPath)
		text, err := property[string](ctx, systemd, systemdName+".Manager", "Version")
		if err != nil {
			return err
		}
		digits := strings.TrimLeft(text, "v")
		if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = digits[:i]
		}
		if s.version, err = strconv.Atoi(digits); err != nil {
			return fmt.Errorf("systemd says that its version is %q: %w", text, err)
		}
		var path dbus.ObjectPath
		if err := systemd.CallWithContext(ctx, systemdName+".Manager.GetUnit", 0, "systemd-networkd.service").Store(&path); err != nil {
			return fmt.Errorf("%w: %w", errNotRunning, err)
		}
		unit := bus.Object(systemdName, path)
		state, err := property[string](ctx, unit, systemdName+".Unit", "ActiveState")
		if err != nil {
			return err
		}
		if state != "active" {
			return fmt.Errorf("%w: its service is %s", errNotRunning, state)
		}
		then, err := property[uint64](ctx, unit, systemdName+".Service", "ExecMainStartTimestamp")
		if err != nil {
			return err
		}
		since, err := property[uint64](ctx, unit, systemdName+".Service", "ExecMainStartTimestampMonotonic")
		if err != nil {
			return err
		}
		s.id = strconv.FormatUint(since, 10)
		s.started, err = earlier(then, since)
		return err
	})
	return s, err
}

// earlier is when something was, of which the clock has said one time then, and would say another now; both in microseconds.
func earlier(realtime, monotonic uint64) (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Time{}, fmt.Errorf("read the clock: %w", err)
	}
	const micro = uint64(time.Microsecond)
	then := time.UnixMicro(int64(realtime))
	derived := time.Now().Add(time.Duration(monotonic*micro) - time.Duration(now.Nano()))
	if derived.Before(then) {
		return derived, nil
	}
	return then, nil
}

// property is one of an object's.
func property[T any](ctx context.Context, object dbus.BusObject, of, name string) (value T, err error) {
	var variant dbus.Variant
	if err := object.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, of, name).Store(&variant); err != nil {
		return value, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	if err := variant.Store(&value); err != nil {
		return value, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	return value, nil
}
