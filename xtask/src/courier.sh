# Runs in a mount namespace of its own: what is mounted here is seen by nobody else.
set -e
mount --make-rprivate /
mkdir -p /run/courier
mount --bind @FOLDER@/etc /etc/courier
mount --bind @FOLDER@/run /run/courier
userdb @USER@ set uid=65534 gid=65534 home=@FOLDER@/mail/@USER@ mail=@FOLDER@/mail/@USER@
hashed() { printf '%s\n%s\n' '@PASSWORD@' '@PASSWORD@' | userdbpw "$1"; }
userdb @USER@ set "systempw=$(hashed -md5)"
userdb @USER@ set "hmac-md5pw=$(hashed -hmac-md5)"
chmod 700 /etc/courier/userdb
makeuserdb
(set -a; . /etc/courier/authdaemonrc; exec /usr/lib/courier/courier-authlib/authdaemond) &
auth=$!
export POP3AUTH="PLAIN LOGIN CRAM-MD5" POP3AUTH_TLS="PLAIN LOGIN CRAM-MD5"
export COURIERTLS=/usr/bin/couriertls POP3_STARTTLS=YES TLS_CERTFILE=@FOLDER@/both.pem
/usr/sbin/couriertcpd -address=127.0.0.1 -nodnslookup -noidentlookup -maxprocs=40 -maxperip=40 @PORT@ \
  @PROGRAMS@/usr/lib/courier/courier/courierpop3login @PROGRAMS@/usr/lib/courier/courier/courierpop3d \
  @FOLDER@/mail/@USER@ &
serve=$!
trap 'kill $serve $auth 2>/dev/null || true' TERM INT
wait $serve || true
kill $auth 2>/dev/null || true
wait
