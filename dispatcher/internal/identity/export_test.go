package identity

import "time"

// Life is how long a token says that it is valid.
func Life(token string) (time.Duration, error) {
	claims, err := claimsOf(token)
	if err != nil {
		return 0, err
	}

	return claims.life(), nil
}

// Holder is whose token it claims to be, by UIDs; empty: it does not say so.
func Holder(token string) string {
	claims, err := claimsOf(token)
	if err != nil {
		return ""
	}

	return claims.holder()
}
