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
