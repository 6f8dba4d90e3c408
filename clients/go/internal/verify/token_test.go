// Package verify holds the bridge to what it publishes about its access tokens: a program that knows no more than
// the address of the keys, the issuer and the audience can tell good tokens from others, without asking the bridge.
package verify

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/user-bridge/user-bridge/clients/go/gen/auth"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
)

const (
	issuer   = "https://users.example.com"
	audience = "shop"
	password = "correct horse battery staple"
)

// accessClaims are the claims of an access token.
type accessClaims struct {
	jwt.Claims
	Type string `json:"type"`
}

// errNotAccessToken is a token's that is ours and good, but for something else, or for ever.
var errNotAccessToken = errors.New("not an access token")

// fetchKeys gets the published keys. A program keeps them for as long as Cache-Control says.
func fetchKeys(url string) (*jose.JSONWebKeySet, http.Header, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	keys := &jose.JSONWebKeySet{}
	return keys, answer.Header, json.NewDecoder(answer.Body).Decode(keys)
}

// verify is all that a program needs. It fixes the algorithm: a token must not choose how it is checked. The key is
// the one whose id the token names.
func verify(keys *jose.JSONWebKeySet, text string, expected jwt.Expected) (*accessClaims, error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, err
	}
	claims := &accessClaims{}
	if err := token.Claims(keys, claims); err != nil {
		return nil, err
	}
	if claims.Type != "access" || claims.Expiry == nil {
		return nil, errNotAccessToken
	}
	return claims, claims.ValidateWithLeeway(expected, 0)
}

var expected = jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}}

func TestAnAccessTokenIsVerifiedByThePublishedKeysAlone(t *testing.T) {
	bridge := bridgetest.Start(t, "TOKEN_ISSUER="+issuer, "TOKEN_AUDIENCE="+audience)
	client := auth.NewAuthServiceClient(bridge.Dial(t))
	account, err := client.CreateUser(t.Context(), &auth.CreateUserRequest{
		Email: "ada@example.com", Password: password, FullName: "Ada", IsActive: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	login := authenticate(t, client)
	keys, header, err := fetchKeys("http://" + bridge.Address + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	good := login.GetAccessToken()
	claims, err := verify(keys, good, expected)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("its claims are the contract's", func(t *testing.T) {
		if claims.Subject != account.GetId() || claims.ID == "" {
			t.Errorf("sub is %q, the account's id %q, jti %q", claims.Subject, account.GetId(), claims.ID)
		}
		if !slices.Equal(claims.Audience, jwt.Audience{audience}) || claims.Issuer != issuer {
			t.Errorf("aud is %q, iss %q", claims.Audience, claims.Issuer)
		}
		lifetime := claims.Expiry.Time().Sub(claims.IssuedAt.Time())
		if want := time.Duration(login.GetExpiresIn()) * time.Second; lifetime != want || want != time.Hour {
			t.Errorf("it lives for %s; expires_in says %s, the contract an hour", lifetime, want)
		}
	})

	t.Run("each has an id of its own", func(t *testing.T) {
		second, err := verify(keys, authenticate(t, client).GetAccessToken(), expected)
		if err != nil || second.ID == claims.ID {
			t.Errorf("%v; both have the jti %q", err, claims.ID)
		}
	})

	t.Run("it survives a restart of the bridge, and so do the keys", func(t *testing.T) {
		bridge.Stop(t, syscall.SIGTERM)
		if _, err := verify(keys, good, expected); err != nil {
			t.Errorf("while the bridge is away: %v", err)
		}
		bridge.Restart(t)
		again, _, err := fetchKeys("http://" + bridge.Address + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify(again, good, expected); err != nil {
			t.Errorf("with the keys as they are now: %v", err)
		}
	})

	t.Run("no other is taken for one", func(t *testing.T) {
		_, stranger, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ours := keyOf(t, keys, good)
		secret, err := x509.MarshalPKIXPublicKey(ours.Key)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(good, ".")
		unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
		for name, test := range map[string]struct {
			token string
			want  error
		}{
			"another subject":             {withClaim(t, good, "sub", "0199aaaa-0000-7000-8000-000000000000"), jose.ErrCryptoFailure},
			"a later end":                 {withClaim(t, good, "exp", time.Now().Add(24*time.Hour).Unix()), jose.ErrCryptoFailure},
			"another signature":           {parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), jose.ErrCryptoFailure},
			"a stranger's signature":      {sign(t, claims, jose.EdDSA, ours.KeyID, stranger), jose.ErrCryptoFailure},
			"a key that is not published": {sign(t, claims, jose.EdDSA, "unknown", stranger), jose.ErrJWKSKidNotFound},
			"no signature":                {unsigned, anyError},
			"the public key as a secret":  {sign(t, claims, jose.HS256, ours.KeyID, secret), anyError},
			"half of it":                  {good[:len(good)/2], anyError},
			"the refresh token":           {login.GetRefreshToken(), anyError},
		} {
			_, err := verify(keys, test.token, expected)
			if err == nil || (test.want != anyError && !errors.Is(err, test.want)) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
	})

	t.Run("it is for one audience, of one issuer, and ends", func(t *testing.T) {
		end, begin := claims.Expiry.Time(), claims.IssuedAt.Time()
		for name, test := range map[string]struct {
			expected jwt.Expected
			want     error
		}{
			"another audience":          {jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{"warehouse"}}, jwt.ErrInvalidAudience},
			"another issuer":            {jwt.Expected{Issuer: "elsewhere", AnyAudience: jwt.Audience{audience}}, jwt.ErrInvalidIssuer},
			"a second after its end":    {expected.WithTime(end.Add(time.Second)), jwt.ErrExpired},
			"a second before its end":   {expected.WithTime(end.Add(-time.Second)), nil},
			"a minute before its issue": {expected.WithTime(begin.Add(-time.Minute)), jwt.ErrIssuedInTheFuture},
		} {
			if _, err := verify(keys, good, test.expected); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
	})

	t.Run("the published keys are public, of one kind, and may be cached", func(t *testing.T) {
		if len(keys.Keys) == 0 || !strings.Contains(header.Get("Cache-Control"), "max-age=") {
			t.Errorf("%d keys, %v", len(keys.Keys), header)
		}
		for _, key := range keys.Keys {
			_, isEd25519 := key.Key.(ed25519.PublicKey)
			if !isEd25519 || !key.IsPublic() || key.Algorithm != "EdDSA" || key.Use != "sig" || key.KeyID == "" {
				t.Errorf("not a named public key for signatures of Ed25519: %T, alg %q, use %q, kid %q",
					key.Key, key.Algorithm, key.Use, key.KeyID)
			}
		}
	})
}

// anyError stands for an error that the library does not name.
var anyError = errors.New("any error")

func authenticate(t *testing.T, client auth.AuthServiceClient) *auth.AuthResponse {
	t.Helper()
	login, err := client.Authenticate(t.Context(), &auth.AuthRequest{Email: "ada@example.com", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return login
}

// keyOf finds the one key that a token names.
func keyOf(t *testing.T, keys *jose.JSONWebKeySet, text string) jose.JSONWebKey {
	t.Helper()
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	found := keys.Key(token.Headers[0].KeyID)
	if len(found) != 1 {
		t.Fatalf("%d keys have the id %q", len(found), token.Headers[0].KeyID)
	}
	return found[0]
}

// withClaim changes a claim and keeps the signature.
func withClaim(t *testing.T, token, name string, value any) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	claims[name] = value
	if payload, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
}

// sign makes a token of the same claims, signed by somebody else.
func sign(t *testing.T, claims *accessClaims, algorithm jose.SignatureAlgorithm, kid string, key any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
