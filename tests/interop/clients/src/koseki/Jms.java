package koseki;

import jakarta.jms.BytesMessage;
import jakarta.jms.Connection;
import jakarta.jms.JMSException;
import jakarta.jms.Message;
import jakarta.jms.MessageConsumer;
import jakarta.jms.MessageProducer;
import jakarta.jms.Session;
import jakarta.jms.TextMessage;
import java.nio.charset.StandardCharsets;
import org.apache.qpid.jms.JmsConnectionFactory;

/**
 * Apache Qpid JMS: another AMQP implementation, with its own idea of messages and links.
 *
 * <p>Arguments: port, (unused), CA file for TLS or "-".
 */
public final class Jms {
    private static Session session;

    private static Message ask(final String address, final String subject, final String json, final String device)
            throws JMSException {
        final String reply = address + "/jms-" + System.nanoTime();
        final MessageConsumer answers = session.createConsumer(session.createQueue(reply));
        final MessageProducer requests = session.createProducer(session.createQueue(address));
        final BytesMessage request = session.createBytesMessage();
        request.setJMSType(subject);
        request.setJMSReplyTo(session.createQueue(reply));
        request.setJMSCorrelationID("case-" + System.nanoTime());
        if (device != null) {
            request.setStringProperty("device_id", device);
        }
        if (json != null) {
            request.writeBytes(json.getBytes(StandardCharsets.UTF_8));
        }
        requests.send(request);
        final Message answer = answers.receive(20000);
        answers.close();
        requests.close();
        if (answer == null) {
            throw new AssertionError("no answer");
        }
        Cases.same(request.getJMSCorrelationID(), answer.getJMSCorrelationID());
        // an AMQP uint would come as a Long, which is no Integer
        Cases.same(Integer.class, answer.getObjectProperty("status").getClass());
        return answer;
    }

    private static String body(final Message message) throws JMSException {
        return ((TextMessage) message).getText(); // so this client has data of type application/json
    }

    public static void main(final String[] args) throws Exception {
        final var cases = new Cases();
        final String url = "-".equals(args[2])
                ? "amqp://localhost:" + args[0] + "?amqp.saslMechanisms=PLAIN"
                : "amqps://localhost:" + args[0] + "?amqp.saslMechanisms=PLAIN&transport.trustStoreLocation=" + args[2]
                        + "&transport.trustStorePassword=changeit&transport.storeType=PKCS12";
        final Connection connection = new JmsConnectionFactory("adapter@HONO", "secret", url).createConnection();
        connection.start();
        session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        cases.check("tenant", () -> {
            final Message answer = ask("tenant", "get", "{\"tenant-id\":\"T1\"}", null);
            Cases.same(200, answer.getIntProperty("status"));
            Cases.same("max-age = 180", answer.getStringProperty("cache_control"));
            Cases.same(true, body(answer).contains("\"tenant-id\":\"T1\""));
        });
        cases.check("credentials", () -> {
            final Message answer = ask("credentials/T1", "get",
                    "{\"type\":\"hashed-password\",\"auth-id\":\"sensor\"}", null);
            Cases.same(200, answer.getIntProperty("status"));
            Cases.same(true, body(answer).contains("\"device-id\":\"sensor\""));
        });
        cases.check("assert", () -> {
            final Message answer = ask("registration/T1", "assert", null, "sensor");
            Cases.same(200, answer.getIntProperty("status"));
            Cases.same("sensor", answer.getStringProperty("device_id"));
        });
        cases.check("refusals", () -> {
            Cases.same(404, ask("tenant", "get", "{\"tenant-id\":\"nobody\"}", null).getIntProperty("status"));
            Cases.same(400, ask("tenant", "get", "nonsense", null).getIntProperty("status"));
            Cases.same(404, ask("registration/T1", "assert", null, "nobody").getIntProperty("status"));
        });
        cases.check("a link to nowhere is refused", () -> {
            try {
                session.createProducer(session.createQueue("nowhere"));
            } catch (final JMSException error) {
                Cases.same(true, error.getMessage().contains("no endpoint registered"));
                return;
            }
            throw new AssertionError("was attached");
        });
        cases.check("the connection goes on", () ->
                Cases.same(200, ask("tenant", "get", "{\"tenant-id\":\"T1\"}", null).getIntProperty("status")));
        connection.close();
        cases.close();
    }
}
