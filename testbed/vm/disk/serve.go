package disk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// What of the protocol of network block devices is spoken: fixed newstyle, one export, whatever its name, without structured
// replies. See https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.
const (
	magicServer  = 0x4e42444d41474943 // NBDMAGIC
	magicOption  = 0x49484156454f5054 // IHAVEOPT
	magicAnswer  = 0x3e889045565a9
	magicRequest = 0x25609513
	magicReply   = 0x67446698

	handshakeFlags = 3         // fixed newstyle, no zeroes
	exportFlags    = 1 | 4 | 8 // there are flags; flush; FUA

	optionExportName = 1
	optionAbort      = 2
	optionInfo       = 6
	optionGo         = 7

	answerAck         = 1
	answerInfo        = 3
	answerUnsupported = 0x80000001

	commandRead  = 0
	commandWrite = 1
	commandEnd   = 2
	commandFlush = 3
	flagFUA      = 1

	errorIO      = 5
	errorInvalid = 22

	// maxRequest is more than any client asks for at once.
	maxRequest = 64 << 20
)

// Serve lets whoever connects to a listener use the disk, one after another, until the listener is closed.
func (d *Disk) Serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for a user of the disk: %w", err)
		}
		err = d.serve(connection)
		if err := errors.Join(err, connection.Close()); err != nil {
			return err
		}
	}
}

// peer is whoever uses the disk.
type peer struct {
	in  *bufio.Reader
	out *bufio.Writer
}

// say sends values, each in its own width.
func (p *peer) say(values ...any) error {
	for _, value := range values {
		if err := binary.Write(p.out, binary.BigEndian, value); err != nil {
			return fmt.Errorf("answer the user of the disk: %w", err)
		}
	}
	return p.out.Flush()
}

func (p *peer) hear(into any) error { return binary.Read(p.in, binary.BigEndian, into) }

func (d *Disk) serve(connection io.ReadWriter) error {
	p := &peer{in: bufio.NewReaderSize(connection, 1<<16), out: bufio.NewWriterSize(connection, 1<<16)}
	ready, err := d.negotiate(p)
	for ready && err == nil {
		ready, err = d.request(p)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil // It was killed.
	}
	return err
}

// negotiate answers options until the disk is asked for.
func (d *Disk) negotiate(p *peer) (ready bool, err error) {
	if err := p.say(uint64(magicServer), uint64(magicOption), uint16(handshakeFlags)); err != nil {
		return false, err
	}
	var clientFlags uint32
	if err := p.hear(&clientFlags); err != nil {
		return false, err
	}
	for {
		var option struct {
			Magic        uint64
			Kind, Length uint32
		}
		if err := p.hear(&option); err != nil {
			return false, err
		}
		if option.Magic != magicOption || option.Length > maxRequest {
			return false, errors.New("the user of the disk speaks another protocol")
		}
		if _, err := io.CopyN(io.Discard, p.in, int64(option.Length)); err != nil {
			return false, err
		}
		answer := func(kind uint32, length int, values ...any) error {
			return p.say(append([]any{uint64(magicAnswer), option.Kind, kind, uint32(length)}, values...)...)
		}
		switch option.Kind {
		case optionExportName:
			return true, p.say(uint64(d.size), uint16(exportFlags))
		case optionGo, optionInfo:
			if err := errors.Join(answer(answerInfo, 12, uint16(0), uint64(d.size), uint16(exportFlags)), answer(answerAck, 0)); err != nil {
				return false, err
			}
			if option.Kind == optionGo {
				return true, nil
			}
		case optionAbort:
			return false, answer(answerAck, 0)
		default:
			if err := answer(answerUnsupported, 0); err != nil {
				return false, err
			}
		}
	}
}

// request answers one request, and says whether more may come.
func (d *Disk) request(p *peer) (more bool, err error) {
	var request struct {
		Magic       uint32
		Flags, Kind uint16
		Handle      uint64
		Offset      uint64
		Length      uint32
	}
	if err := p.hear(&request); err != nil {
		return false, err
	}
	if request.Magic != magicRequest || request.Length > maxRequest {
		return false, errors.New("the user of the disk speaks another protocol")
	}
	var data []byte
	var failed error
	code := uint32(errorIO)
	switch request.Kind {
	case commandRead:
		data = make([]byte, request.Length)
		_, failed = d.ReadAt(data, int64(request.Offset))
	case commandWrite:
		written := make([]byte, request.Length)
		if _, err := io.ReadFull(p.in, written); err != nil {
			return false, err
		}
		if _, failed = d.WriteAt(written, int64(request.Offset)); failed == nil && request.Flags&flagFUA != 0 {
			failed = d.FlushRange(int64(request.Offset), int64(request.Length))
		}
	case commandFlush:
		failed = d.Flush()
	case commandEnd:
		return false, nil
	default:
		failed, code = errors.New("nobody said that the disk could do that"), errorInvalid
	}
	if failed != nil {
		return true, p.say(uint32(magicReply), code, request.Handle)
	}
	return true, p.say(uint32(magicReply), uint32(0), request.Handle, data)
}
