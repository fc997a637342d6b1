// Package mariadb starts private MariaDB servers for tests and demonstrations.
//
// A server listens on a port, on loopback unless it is told another address, and a socket of its own, keeps its data in a folder that its caller gives, and
// is stopped, killed, restarted and paused at will. The package has no database driver: it runs SQL through the
// server's own client program, as root, over the socket.
package mariadb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTimeout is how long a server may take to answer. It takes 0.3 s on an idle machine; a busy one with a race
// detector may need many times that.
const startTimeout = 60 * time.Second

// Account is a login of a server.
type Account struct {
	User, Password string
	// Database is the database that the account is for.
	Database string
}

// TB is what Start needs of a test: *testing.T and *testing.B have it, and a program may.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is one private server. Its methods are safe for concurrent use.
type Server struct {
	dir  string
	port int
	opts options

	dispatcher, controller, root Account

	mu      sync.Mutex // guards process
	process *process
}

// process is a running mariadbd.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed once it has been waited for
	output *bytes.Buffer // to be read only after ended
}

type options struct {
	binlog, bare, rollback bool
	address                string // empty: loopback
}

// Option changes how a server is made.
type Option func(*options)

// WithBinlog turns the binary log on, in row format.
func WithBinlog() Option { return func(o *options) { o.binlog = true } }

// WithRollbackOnTimeout makes the server undo a whole transaction when one of its statements was not given a lock.
func WithRollbackOnTimeout() Option { return func(o *options) { o.rollback = true } }

// WithAddress makes the server listen on an address of the machine other than loopback's.
func WithAddress(address string) Option { return func(o *options) { o.address = address } }

// WithoutTable leaves database multinic empty; the dispatcher's account then has no rights yet.
func WithoutTable() Option { return func(o *options) { o.bare = true } }

// Start starts a server in a temporary folder of the test; it ends with the test.
func Start(t TB, opts ...Option) *Server {
	t.Helper()
	// Not the test's own folder: its name has the test's in it, and a unix socket's path is 107 bytes at most.
	dir, err := os.MkdirTemp("", "db-")
	if err != nil {
		t.Fatalf("make a folder for a MariaDB server: %v", err)
	}
	s, err := Open(context.Background(), dir, opts...)
	t.Cleanup(func() {
		if s != nil {
			p := s.running()
			err = errors.Join(s.Close(), p.crash())
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			t.Fatalf("stop the MariaDB server: %v", err)
		}
	})
	if err != nil {
		t.Fatalf("start a MariaDB server: %v", err)
	}
	return s
}

// Open starts a server that keeps everything in dir, which must exist. The caller ends it with Close.
func Open(ctx context.Context, dir string, opts ...Option) (*Server, error) {
	s := &Server{dir: dir}
	for _, opt := range opts {
		opt(&s.opts)
	}
	if err := copyTemplate(ctx, s.dataDir()); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.port = port
	s.root = Account{User: "admin", Password: rand.Text(), Database: database}
	s.controller = Account{User: "controller", Password: rand.Text(), Database: database}
	s.dispatcher = Account{User: "dispatcher", Password: rand.Text(), Database: database}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.Exec(ctx, s.setUp()); err != nil {
		return nil, errors.Join(fmt.Errorf("create the accounts and the table: %w", err), s.Close())
	}
	return s, nil
}

// freePort finds a loopback port that nothing listens on. It lies below those that the kernel gives to clients (32768 and
// up): while the server is stopped, a client that dials one of those can get that same port, and then is connected to itself.
func freePort() (int, error) {
	const lowest, number, attempts = 10000, 20000, 100
	var err error
	for range attempts {
		port := lowest + mathrand.IntN(number)
		var l *net.TCPListener
		if l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// Host is the address that the server listens on.
func (s *Server) Host() string { return cmp.Or(s.opts.address, "127.0.0.1") }

// Port is the TCP port that the server listens on; it stays the same over restarts.
func (s *Server) Port() int { return s.port }

// Socket is the path of the server's unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "sock") }

// Root is an account with all rights.
func (s *Server) Root() Account { return s.root }

// Controller is the account of whoever writes the table: all rights on the database.
func (s *Server) Controller() Account { return s.controller }

// Dispatcher is the account of the dispatcher: SELECT on the table and UPDATE of netplan_success, nothing else.
func (s *Server) Dispatcher() Account { return s.dispatcher }

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }

// Restart starts the server on its former port and data if it does not run, and stops it first if it does. It returns
// once the server answers.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.launch()
	if err != nil {
		return err
	}
	s.process = p
	return s.answers(p)
}

func (s *Server) launch() (*process, error) {
	args := []string{
		"--no-defaults", "--datadir=" + s.dataDir(), "--socket=" + s.Socket(), "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--bind-address=" + s.Host(), "--port=" + strconv.Itoa(s.port), "--skip-name-resolve",
		// Small and quick, since every test has its own: durability is not what is tested here.
		"--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2", "--aria-log-file-size=8M",
		"--performance-schema=OFF",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if s.opts.rollback {
		args = append(args, "--innodb-rollback-on-timeout")
	}
	if s.opts.binlog {
		args = append(args, "--log-bin=binlog", "--binlog-format=ROW", "--server-id=1")
	}
	p := &process{cmd: exec.CommandContext(context.Background(), "mariadbd", args...), ended: make(chan struct{}), output: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	go func() {
		// Pdeathsig is bound to the thread that forks: this one waits for as long as the server runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		if err := p.cmd.Start(); err != nil {
			started <- fmt.Errorf("start mariadbd (Debian package mariadb-server-core): %w", err)
			return
		}
		started <- nil
		_ = p.cmd.Wait() // How it ended is nobody's concern: it was stopped, killed, or the output says why.
	}()
	return p, <-started
}

// answers waits until the server takes connections.
func (s *Server) answers(p *process) error {
	deadline := time.After(startTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.Socket(), Net: "unix"}); err == nil {
			_ = c.Close()
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("mariadbd ended by itself:\n%s", p.output)
		case <-deadline:
			return fmt.Errorf("mariadbd does not answer after %v", startTimeout)
		case <-tick.C:
		}
	}
}

// Stop shuts the server down in good order; it does nothing if it does not run.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server at once, as a crash would; it does nothing if it does not run.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Close ends the server for good.
func (s *Server) Close() error {
	if err := s.Resume(); err != nil {
		return err
	}
	return s.Kill()
}

func (s *Server) end(with syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.process.signal(with); err != nil {
		return err
	}
	<-s.process.ended
	s.process = nil
	return nil
}

// running is the process that should run; nil if none should.
func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// crash is an error unless the process, which Close has ended, ran until then. What a test sees of a crash is not to be
// taken for what it tested.
func (p *process) crash() error {
	if p == nil {
		return nil
	}
	<-p.ended
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("mariadbd ended by itself (%v):\n%s", p.cmd.ProcessState, p.output)
}

// Pause stops the server in its tracks: it keeps its connections and answers nothing until Resume.
func (s *Server) Pause() error { return s.toRunning(syscall.SIGSTOP) }

// Resume lets a paused server go on; it does nothing to one that is not paused.
func (s *Server) Resume() error { return s.toRunning(syscall.SIGCONT) }

func (s *Server) toRunning(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	return s.process.signal(sig)
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to mariadbd: %w", sig, err)
	}
	return nil
}

// Exec runs SQL statements as root in database multinic.
func (s *Server) Exec(ctx context.Context, sql string) error {
	_, err := s.client(ctx, sql)
	return err
}

// Query runs one SQL statement as root in database multinic and returns its rows as text; NULL is "NULL".
func (s *Server) Query(ctx context.Context, sql string) ([][]string, error) {
	out, err := s.client(ctx, sql)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(out) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

func (s *Server) client(ctx context.Context, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--socket="+s.Socket(), "--user=root",
		"--batch", "--skip-column-names", "--default-character-set=utf8mb4", database)
	cmd.Stdin = strings.NewReader(sql)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run SQL: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
