package koseki;

import io.opentracing.SpanContext;
import io.opentracing.noop.NoopTracerFactory;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.json.JsonObject;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;
import javax.security.auth.x500.X500Principal;
import org.eclipse.hono.client.ServiceInvocationException;
import org.eclipse.hono.client.amqp.config.RequestResponseClientConfigProperties;
import org.eclipse.hono.client.amqp.connection.HonoConnection;
import org.eclipse.hono.client.amqp.connection.SendMessageSampler;
import org.eclipse.hono.client.registry.amqp.ProtonBasedCredentialsClient;
import org.eclipse.hono.client.registry.amqp.ProtonBasedDeviceRegistrationClient;
import org.eclipse.hono.client.registry.amqp.ProtonBasedTenantClient;

/**
 * Hono's own registry clients, as a protocol adapter of Hono 2.x uses them.
 *
 * <p>Arguments: port, certificate of an unregistered device, CA file for TLS or "-", and "defaults" for the clients'
 * own time-outs, where the share of requests answered in time is what counts, or "twisted" to give up soon.
 */
public final class Hono {
    private static final String RFC2253 = X500Principal.RFC2253;
    private static final SpanContext SPAN = NoopTracerFactory.create().buildSpan("case").start().context();

    private static <T> T get(final Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(60, TimeUnit.SECONDS);
    }

    private static void refused(final int status, final Future<?> future) throws Exception {
        Cases.same(status, status(future));
    }

    private static HonoConnection connection(final Vertx vertx, final String[] args, final String mode) {
        final var config = new RequestResponseClientConfigProperties();
        config.setHost("localhost");
        config.setPort(Integer.parseInt(args[0]));
        config.setUsername("adapter@HONO");
        config.setPassword("secret");
        if (!"-".equals(args[2])) {
            config.setTlsEnabled(true);
            config.setTrustStorePath(args[2]);
        }
        if (!"defaults".equals(mode)) {
            config.setRequestTimeout("twisted".equals(mode) ? 500 : 30000);
            config.setFlowLatency(10000);
            config.setLinkEstablishmentTimeout(20000);
        }
        return HonoConnection.newConnection(vertx, config);
    }

    public static void main(final String[] args) throws Exception {
        final String mode = args.length > 3 ? args[3] : "";
        final var vertx = Vertx.vertx();
        final var cases = new Cases();
        final var sampler = SendMessageSampler.Factory.noop();
        final var tenants = new ProtonBasedTenantClient(connection(vertx, args, mode), sampler, null);
        final var credentials = new ProtonBasedCredentialsClient(connection(vertx, args, mode), sampler, null);
        final var devices = new ProtonBasedDeviceRegistrationClient(connection(vertx, args, mode), sampler, null);
        final var cert = (X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(Files.newInputStream(Path.of(args[1])));
        final String subject = cert.getSubjectX500Principal().getName(RFC2253);
        final var context = new JsonObject().put("client-certificate", cert.getEncoded());

        get(tenants.start());
        get(credentials.start());
        get(devices.start());
        if ("defaults".equals(mode)) {
            inTime(cases, "tenants", 4000, i -> tenants.get("T1", SPAN));
            inTime(cases, "credentials", 4000, i ->
                    credentials.get("T1", "hashed-password", "sensor", new JsonObject().put("n", i), SPAN));
            inTime(cases, "assertions", 4000, i -> devices.assertRegistration("T1", "sensor", "gateway", SPAN));
            // a tenant's first request makes its links: 20 ms for their credit
            inTime(cases, "first requests", 1000, i -> devices.assertRegistration("none-" + i, "sensor", null, SPAN));
            cases.close();
        }
        cases.check("tenant by the issuer of a certificate", () -> {
            final var tenant = get(tenants.get(cert.getIssuerX500Principal(), SPAN));
            Cases.same("T1", tenant.getTenantId());
            Cases.same(true, tenant.isEnabled());
            Cases.same(true, tenant.isAutoProvisioningEnabled(cert.getIssuerX500Principal().getName(RFC2253)));
            Cases.same(1, tenant.getTrustAnchors().size());
        });
        cases.check("tenant by id", () -> Cases.same("T1", get(tenants.get("T1", SPAN)).getTenantId()));
        cases.check("unknown tenant", () -> refused(404, tenants.get("nobody", SPAN)));
        cases.check("an unregistered device is provisioned, then known", () -> {
            String device = null;
            for (int i = 0; i < 3; i++) {
                final var found = get(credentials.get("T1", "x509-cert", subject,
                        new JsonObject().put("client-certificate", cert.getEncoded()), SPAN));
                Cases.same(subject, found.getAuthId());
                Cases.same("x509-cert", found.getType());
                Cases.same(true, found.isEnabled());
                Cases.same(1, found.getSecrets().size());
                device = device == null ? found.getDeviceId() : device;
                Cases.same(device, found.getDeviceId());
                Cases.same(device, get(devices.assertRegistration("T1", device, null, SPAN)).getDeviceId());
            }
        });
        cases.check("hashed password", () -> {
            final var found = get(credentials.get("T1", "hashed-password", "sensor", SPAN));
            Cases.same("sensor", found.getDeviceId());
            Cases.same(1, found.getCandidateSecrets().size());
        });
        cases.check("unknown credentials", () -> refused(404, credentials.get("T1", "psk", "nobody", SPAN)));
        cases.check("credentials of an unknown tenant", () ->
                refused(404, credentials.get("nobody", "hashed-password", "sensor", SPAN)));
        cases.check("assert", () -> {
            final var found = get(devices.assertRegistration("T1", "sensor", null, SPAN));
            Cases.same("sensor", found.getDeviceId());
            Cases.same(List.of("gateway"), found.getAuthorizedGateways());
        });
        cases.check("assert by a gateway", () ->
                Cases.same("sensor", get(devices.assertRegistration("T1", "sensor", "gateway", SPAN)).getDeviceId()));
        cases.check("assert by a stranger", () ->
                refused(403, devices.assertRegistration("T1", "sensor", "stranger", SPAN)));
        cases.check("assert of a disabled device", () ->
                refused(404, devices.assertRegistration("T1", "off", null, SPAN)));
        cases.check("many at once", () -> {
            final var all = new java.util.ArrayList<Future<?>>();
            for (int i = 0; i < 150; i++) {
                all.add(credentials.get("T1", "hashed-password", "sensor", new JsonObject().put("n", i), SPAN));
            }
            for (final var one : all) {
                get(one);
            }
        });
        cases.close();
    }

    /** At the clients' own 200 ms a request and 20 ms for credit. */
    private static void inTime(final Cases cases, final String what, final int requests,
            final IntFunction<Future<?>> request) {
        cases.check(what + ": 99 of 100 are answered within the clients' own time-outs", () -> {
            int late = 0;
            for (int i = -requests / 4; i < requests; i++) { // the first ones warm up
                final int status = status(request.apply(i));
                Cases.same(true, status == 200 || status == 404 || status == 503);
                late += i >= 0 && status == 503 ? 1 : 0;
            }
            System.out.println("late: " + late + " of " + requests);
            Cases.same(true, late * 100 <= requests);
        });
    }

    /** 503 if the client has given up. */
    private static int status(final Future<?> future) throws Exception {
        try {
            get(future);
            return 200;
        } catch (final ExecutionException error) {
            return ServiceInvocationException.extractStatusCode(error.getCause());
        }
    }
}
