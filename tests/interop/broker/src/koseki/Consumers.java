package koseki;

import io.vertx.core.Vertx;
import io.vertx.core.json.JsonObject;
import org.eclipse.hono.application.client.DownstreamMessage;
import org.eclipse.hono.application.client.amqp.AmqpMessageContext;
import org.eclipse.hono.application.client.amqp.ProtonBasedApplicationClient;
import org.eclipse.hono.client.amqp.config.ClientConfigProperties;
import org.eclipse.hono.client.amqp.connection.HonoConnection;
import org.eclipse.hono.client.notification.amqp.ProtonBasedNotificationReceiver;
import org.eclipse.hono.notification.deviceregistry.AllDevicesOfTenantDeletedNotification;
import org.eclipse.hono.notification.deviceregistry.CredentialsChangeNotification;
import org.eclipse.hono.notification.deviceregistry.DeviceChangeNotification;
import org.eclipse.hono.notification.deviceregistry.TenantChangeNotification;

/**
 * Hono's own consumers at a message network: the receiver of notifications that its protocol adapters have, and the
 * client of an application, for the events of one tenant. Prints each message, as they understood it, as a line of
 * JSON. Arguments: port, user, password, tenant.
 */
public final class Consumers {
    private static final Vertx VERTX = Vertx.vertx();

    private Consumers() {
    }

    public static void main(final String[] args) {
        final var notifications = new ProtonBasedNotificationReceiver(connection(args, "notifications"));
        notifications.registerConsumer(TenantChangeNotification.TYPE, n -> print(line(n.getType().getTypeName())
                .put("change", n.getChange().name()).put("tenant-id", n.getTenantId())
                .put("enabled", n.isTenantEnabled())
                .put("invalidate-cache-on-update", n.isInvalidateCacheOnUpdate())));
        notifications.registerConsumer(DeviceChangeNotification.TYPE, n -> print(line(n.getType().getTypeName())
                .put("change", n.getChange().name()).put("tenant-id", n.getTenantId()).put("device-id", n.getDeviceId())
                .put("enabled", n.isDeviceEnabled())));
        notifications.registerConsumer(CredentialsChangeNotification.TYPE, n -> print(line(n.getType().getTypeName())
                .put("tenant-id", n.getTenantId()).put("device-id", n.getDeviceId())));
        notifications.registerConsumer(AllDevicesOfTenantDeletedNotification.TYPE, n ->
                print(line(n.getType().getTypeName()).put("tenant-id", n.getTenantId())));
        final var application = new ProtonBasedApplicationClient(connection(args, "application"));
        notifications.start()
                .compose(started -> application.start())
                .compose(started -> application.createEventConsumer(args[3], Consumers::printEvent, closed -> { }))
                .onSuccess(consumer -> print(line("ready")))
                .onFailure(error -> {
                    error.printStackTrace();
                    System.exit(1);
                });
    }

    private static HonoConnection connection(final String[] args, final String name) {
        final var properties = new ClientConfigProperties();
        properties.setHost("127.0.0.1");
        properties.setPort(Integer.parseInt(args[0]));
        properties.setUsername(args[1]);
        properties.setPassword(args[2]);
        properties.setName(name);
        properties.setLinkEstablishmentTimeout(20_000);
        properties.setConnectTimeout(20_000);
        return HonoConnection.newConnection(VERTX, properties);
    }

    private static void printEvent(final DownstreamMessage<AmqpMessageContext> message) {
        print(line(message.getContentType()).put("tenant-id", message.getTenantId())
                .put("device-id", message.getDeviceId()).put("qos", message.getQos().name())
                .put("status", message.getProperties().getProperty("hono_registration_status", String.class))
                .put("payload", message.getPayload() == null ? 0 : message.getPayload().length()));
    }

    private static JsonObject line(final String type) {
        return new JsonObject().put("type", type);
    }

    private static synchronized void print(final JsonObject line) {
        System.out.println(line.encode());
    }
}
