"""Certificates of the broker, and of Koseki when it comes to it with one; each beside its key in one PEM file, as
Artemis reads it."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import pki

HOUR = datetime.timedelta(hours=1)


def make(path, common_name, host=None, address=None, ca="ca", begins=-1, ends=24):
    """Valid from `begins` to `ends`, in hours from now."""
    issuer = x509.load_pem_x509_certificate(pki.pem(f"{ca}.pem").encode())
    issuer_key = serialization.load_pem_private_key(pki.pem(f"{ca}.key").encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder()
               .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
               .issuer_name(issuer.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now + begins * HOUR).not_valid_after(now + ends * HOUR))
    names = [x509.DNSName(host)] if host else []
    names += [x509.IPAddress(ipaddress.ip_address(address))] if address else []
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    path.touch(0o600)
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) +
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                          serialization.NoEncryption()))
