package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

func TestASessionIsRenewedAtOnce(t *testing.T) {
	for keep, dials := range map[bool]int32{true: 1, false: 2} {
		playKeeping(t, keep, 0.5, func(b *bench) {
			b.reports.Put(report(0, 0, "multinic0"))
			s := b.accept()
			s.begin()
			s.send(workSet(1))
			if err := b.client.Ready(); err != nil {
				b.Errorf("in session: %v", err)
			}
			s.send(drain(multinicv1.DrainReason_DRAIN_REASON_RENEW))
			// Not before the old one has ended: it would replace that.
			time.Sleep(time.Second)
			if len(b.dispatcher.sessions) != 0 {
				b.Error("a new session was opened beside the one that it renews")
			}
			ended := time.Now()
			s.end <- status.Error(codes.Unavailable, "open a new one")
			s = b.accept()
			if waited := s.opened.Sub(ended); waited != 0 {
				b.Errorf("the new session was opened %v later", waited)
			}
			s.begin()
			synctest.Wait()
			if err := b.client.Ready(); err != nil {
				b.Errorf("in the renewed session, before its first WorkSet: %v", err)
			}
			if got := b.dials.Load(); got != dials {
				b.Errorf("keep %v: %d connections, want %d", keep, got, dials)
			}
			if connected, reconnects := b.meter.read(); !connected || reconnects != 0 {
				b.Errorf("connected %v, counted %d reconnects", connected, reconnects)
			}
		})
	}
}

func TestASessionThatBroughtNoWorkIsNotRenewedAtOnce(t *testing.T) {
	playKeeping(t, true, 0.5, func(b *bench) {
		b.reports.Put(report(0, 0, "multinic0"))
		s := b.accept()
		s.begin()
		s.send(drain(multinicv1.DrainReason_DRAIN_REASON_RENEW))
		ended := time.Now()
		s.end <- status.Error(codes.Unavailable, "open a new one")
		s = b.accept()
		if waited := s.opened.Sub(ended); waited == 0 {
			b.Error("the new session was opened at once")
		}
		if got := b.dials.Load(); got != 2 {
			b.Errorf("%d connections", got)
		}
		s.begin()
	})
}

func TestWhyADispatcherDoesNotBelieveIsSaid(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.Unauthenticated:  "does not believe that this executor is who it says; its log says why",
		codes.PermissionDenied: "does not let this executor speak for its node; its log says why",
	} {
		play(t, 0.5, func(b *bench) {
			b.reports.Put(report(0, 0, "multinic0"))
			s := b.accept()
			s.end <- status.Error(code, "no")
			b.accept().begin()
			if logged := b.logs.FilterMessage("session ended").All(); len(logged) != 1 || !contains(logged[0].ContextMap()["error"], want) {
				b.Errorf("%v: the log has %v", code, logged)
			}
		})
	}
}

func contains(text any, part string) bool {
	said, ok := text.(string)

	return ok && strings.Contains(said, part)
}
