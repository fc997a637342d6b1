package authority

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrNoToken is the error for what is no signed token of three parts.
var ErrNoToken = errors.New("this is no token of three parts")

// Claims are what a token says.
type Claims map[string]any

// ReadToken is what a token says, whoever has signed it.
func ReadToken(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, ErrNoToken
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("decode a token's claims: %w", err)
	}
	var claims Claims
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil, fmt.Errorf("read a token's claims: %w", err)
	}
	return claims, nil
}

// Alter is a token of the API server's with some claims replaced, signed as that signs them. A claim that is to be nil is
// left out.
func (a *Authority) Alter(token string, replaced Claims) (string, error) {
	claims, err := ReadToken(token)
	if err != nil {
		return "", err
	}
	for name, value := range replaced {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write a token's claims: %w", err)
	}
	// The header says which key it is, which stays true.
	header, _, _ := strings.Cut(token, ".")
	signed := header + "." + base64.RawURLEncoding.EncodeToString(text)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.tokens, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
