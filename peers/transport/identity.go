// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/syncthing/syncthing/lib/tlsutil"

	"github.com/preezm/preezm/peers"
)

// certName is the common name in every certificate, as Syncthing's says
// "syncthing". It tells nothing of the person.
const certName = "preezm"

// certDays is how long a certificate says it is valid. Nobody checks: the
// device is its certificate, and a new one would be a new device.
const certDays = 20 * 365

// ErrIdentityExists says that there is a certificate or key already; it is
// never overwritten, since with it the device would be lost.
var ErrIdentityExists = errors.New("this device has an identity already")

// Identity is this device's certificate and private key.
type Identity struct {
	cert    tls.Certificate
	device  peers.DeviceID
	buffers *bufferPool // shared by all connections of this device
	pacer   *Pacer      // as well
}

// CreateIdentity makes a new certificate (ECDSA P-384, self-signed, in
// Syncthing's form) and saves it as two PEM files, the key readable by the
// owner only. It returns ErrIdentityExists when one of the files is there.
func CreateIdentity(certFile, keyFile string) (*Identity, error) {
	for _, name := range []string{certFile, keyFile} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = ErrIdentityExists
			}
			return nil, fmt.Errorf("create identity: %s: %w", name, err)
		}
	}
	cert, err := tlsutil.NewCertificate(certFile, keyFile, certName, certDays)
	if err != nil {
		return nil, fmt.Errorf("create identity: %w", err)
	}
	// The certificate is public, but nobody else needs it.
	if err := os.Chmod(certFile, 0o600); err != nil {
		return nil, fmt.Errorf("create identity: %w", err)
	}
	for _, name := range []string{certFile, keyFile} {
		if err := syncFile(name); err != nil {
			return nil, fmt.Errorf("create identity: %w", err)
		}
	}
	return newIdentity(cert)
}

// PEM gives the identity as two PEM files.
func (i *Identity) PEM() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.cert.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Certificate[0]})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseIdentity reads what PEM gave, or the two files of CreateIdentity.
func ParseIdentity(cert, key []byte) (*Identity, error) {
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return newIdentity(c)
}

// DeviceOf gives the device ID of a certificate in PEM form.
func DeviceOf(cert []byte) (peers.DeviceID, error) {
	b, _ := pem.Decode(cert)
	if b == nil || b.Type != "CERTIFICATE" {
		return peers.DeviceID{}, errors.New("load identity: the certificate is damaged")
	}
	return sha256.Sum256(b.Bytes), nil
}

// LoadIdentity reads what CreateIdentity saved.
func LoadIdentity(certFile, keyFile string) (*Identity, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return newIdentity(cert)
}

// NewIdentity makes an identity that is kept in memory only, for tests and
// tools.
func NewIdentity() (*Identity, error) {
	cert, err := tlsutil.NewCertificateInMemory(certName, certDays)
	if err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	return newIdentity(cert)
}

func newIdentity(cert tls.Certificate) (*Identity, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("the identity has no certificate")
	}
	return &Identity{cert: cert, device: sha256.Sum256(cert.Certificate[0]), buffers: new(bufferPool), pacer: newPacer()}, nil
}

// Device is this device's ID.
func (i *Identity) Device() peers.DeviceID { return i.device }

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
