"""Device certificates of the test CA, by the thousand."""
import base64
import datetime
import os
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import pki


class Factory:
    """One key for all of them."""

    def __init__(self):
        self.ca = x509.load_pem_x509_certificate(pki.pem("ca.pem").encode())
        self.ca_key = serialization.load_pem_private_key(pki.pem("ca.key").encode(), None)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.lock = threading.Lock()
        self.count = 0

    def make(self):
        """(subject DN, Base64 DER) of a certificate that nobody has seen."""
        with self.lock:
            self.count += 1
            name = f"made-{os.getpid()}-{self.count}"
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder()
                       .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                       .issuer_name(self.ca.subject).public_key(self.key.public_key())
                       .serial_number(x509.random_serial_number())
                       .not_valid_before(now - datetime.timedelta(hours=1))
                       .not_valid_after(now + datetime.timedelta(days=1))
                       .sign(self.ca_key, hashes.SHA256()))
        der = certificate.public_bytes(serialization.Encoding.DER)
        return f"CN={name}", base64.b64encode(der).decode()
