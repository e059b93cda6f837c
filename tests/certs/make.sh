#!/usr/bin/env bash
# Makes the test certificates in a folder: chains named for their defect, made at test time so that
# none expires in the tree.
#
#   tests/certs/make.sh FOLDER [DEVICES]
#
# ca, server, client (an adapter, for SASL EXTERNAL), client-cn-last, client-uid, client-foreign, device-1 … device-DEVICES;
# ca2-same-dn, device-bad-signature, device-expired, device-not-yet-valid, device-self-signed,
# ca-expired with its device, rsa-… and ed25519-… variants (rsa-device-md5 is signed with MD5; the CA
# rsa-ca-long-exponent costs milliseconds a signature), truncated.der.
set -euo pipefail
out=${1:?usage: make.sh FOLDER [DEVICES]}
devices=${2:-3}
mkdir -p "$out"
cd "$out"

past="20200101000000Z"
later="20200201000000Z"
far="20990101000000Z"
farther="20990201000000Z"

key() { # NAME [ALGORITHM]
    case ${2:-ec} in
        ec) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
        rsa) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1.key" ;;
        rsa-long-exponent)
            openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
                -pkeyopt rsa_keygen_pubexp:18446744073709551629 -out "$1.key"
            ;;
        ed25519) openssl genpkey -algorithm ED25519 -out "$1.key" ;;
    esac
} 2>/dev/null

root() { # NAME SUBJECT [ALGORITHM]
    key "$1" "${3:-ec}"
    openssl req -x509 -new -key "$1.key" -subj "$2" -days 3650 -out "$1.pem" \
        -addext "basicConstraints=critical,CA:TRUE"
}

# NAME SUBJECT CA EXTENSIONS [openssl x509 arguments]
leaf() {
    local name=$1 subject=$2 ca=$3 extensions=$4
    shift 4
    [ -f "$name.key" ] || key "$name"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
    printf '%s\n' "$extensions" >"$name.ext"
    # the expired CA was made without a key id
    [ "$ca" = ca-expired ] || echo "authorityKeyIdentifier=keyid" >>"$name.ext"
    openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -set_serial "0x$(openssl rand -hex 8)" \
        -extfile "$name.ext" -out "$name.pem" -days 3650 "$@" 2>/dev/null
    rm "$name.csr" "$name.ext"
}

# NAME SUBJECT CA NOT-BEFORE NOT-AFTER: `openssl ca` is the one command that takes dates.
dated() {
    local name=$1 subject=$2 ca=$3 from=$4 until=$5
    key "$name"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
    : >index.txt
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\norganizationName=optional\ncommonName=supplied\n' >ca.cnf
    openssl ca -batch -notext -config ca.cnf -in "$name.csr" -cert "$ca.pem" -keyfile "$ca.key" \
        -startdate "$from" -enddate "$until" -out "$name.pem" 2>/dev/null
    rm -f "$name.csr" ca.cnf index.txt* [0-9A-F]*.pem
}

root ca "/O=Acme/CN=Device CA"
root ca2-same-dn "/O=Acme/CN=Device CA"
root ca-foreign "/O=Elsewhere/CN=CA"
root rsa-ca "/O=Acme/CN=RSA CA" rsa
root rsa-ca-long-exponent "/O=Acme/CN=slow to verify with" rsa-long-exponent
root ed25519-ca "/O=Acme/CN=Ed25519 CA" ed25519
root device-self-signed "/O=Acme/CN=self signed"

leaf server "/CN=localhost" ca "subjectAltName=DNS:localhost,IP:127.0.0.1"
leaf client "/O=Acme/CN=adapter-1" ca "extendedKeyUsage=clientAuth"
leaf client-cn-last "/CN=adapter-1/O=Acme" ca "extendedKeyUsage=clientAuth"
leaf client-uid "/O=Acme/UID=u/CN=adapter-1" ca "extendedKeyUsage=clientAuth"
leaf client-foreign "/O=Acme/CN=adapter-1" ca-foreign "extendedKeyUsage=clientAuth"
leaf device-bad-signature "/O=Acme/CN=forged" ca2-same-dn "extendedKeyUsage=clientAuth"
leaf rsa-device "/O=Acme/CN=rsa device" rsa-ca "extendedKeyUsage=clientAuth"
leaf rsa-device-md5 "/O=Acme/CN=rsa device md5" rsa-ca "extendedKeyUsage=clientAuth" -md5
leaf ed25519-device "/O=Acme/CN=ed25519 device" ed25519-ca "extendedKeyUsage=clientAuth"
for ((n = 1; n <= devices; n++)); do
    leaf "device-$n" "/O=Acme/CN=device-$n" ca "extendedKeyUsage=clientAuth"
done
dated device-expired "/O=Acme/CN=expired" ca "$past" "$later"
dated device-not-yet-valid "/O=Acme/CN=not yet valid" ca "$far" "$farther"
dated ca-expired "/O=Acme/CN=Expired CA" ca "$past" "$later"
leaf ca-expired-device "/O=Acme/CN=of an expired CA" ca-expired "extendedKeyUsage=clientAuth"

openssl x509 -in device-1.pem -outform DER -out device-1.der
head -c 200 device-1.der >truncated.der
chmod 600 ./*.key
