// A plain TypeScript service in the style of the field: Express takes JSON, axios calls the
// provider over kept-alive connections. It makes the same HTTP calls as the service in the same
// order, side by side where the service makes them so, and keeps no journal. Nothing is checked,
// limited, logged or repeated.
//
// `node server.js VENDOR_URL`

import http from "node:http";
import { AddressInfo } from "node:net";
import axios, { AxiosInstance } from "axios";
import express from "express";

const TOKEN = "token";
const DAY_SECONDS = 86_400;
const JSON_API = "application/vnd.api+json";
const JSON_TYPE = "application/json";

interface Step {
  type: string;
  intervalSeconds?: number;
  taskNote?: string;
  template?: { id: string };
}

interface StepRequest {
  sequenceId: string;
  step: Step;
}

type Make = (api: AxiosInstance, request: StepRequest) => Promise<string>;

const agent = new http.Agent({ keepAlive: true });

function client(provider: string, headers: Record<string, string>): AxiosInstance {
  return axios.create({
    baseURL: `${process.argv[2]}/${provider}`,
    headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    httpAgent: agent,
    proxy: false,
    validateStatus: () => true,
  });
}

const TYPES: Record<string, string> = { STEP_TYPE_CALL: "call", STEP_TYPE_AUTO_EMAIL: "auto_email" };
const SALESLOFT_TYPES: Record<string, string> = {
  STEP_TYPE_CALL: "Phone",
  STEP_TYPE_AUTO_EMAIL: "Email",
};

const outreach: Make = async (api, { sequenceId, step }) => {
  const templateId = step.template?.id;
  const [, steps] = await Promise.all([
    api.get(`/sequences/${sequenceId}`),
    api.get(`/sequenceSteps?filter%5Bsequence%5D%5Bid%5D=${sequenceId}&count=false`),
    templateId ? api.get(`/templates/${templateId}`) : undefined,
  ]);
  const made = await api.post("/sequenceSteps", {
    data: {
      type: "sequenceStep",
      attributes: {
        stepType: TYPES[step.type],
        order: steps.data.data.length + 1,
        interval: step.intervalSeconds ?? 0,
        taskNote: step.taskNote,
      },
      relationships: { sequence: { data: { type: "sequence", id: Number(sequenceId) } } },
    },
  });
  const stepId = made.data.data.id;
  if (templateId) {
    await api.post("/sequenceTemplates", {
      data: {
        type: "sequenceTemplate",
        attributes: { isReply: false },
        relationships: {
          sequenceStep: { data: { type: "sequenceStep", id: stepId } },
          template: { data: { type: "template", id: Number(templateId) } },
        },
      },
    });
  }
  return String(stepId);
};

const salesloft: Make = async (api, { sequenceId, step }) => {
  const templateId = step.template?.id;
  const stepsPath = `/steps?cadence_id=${sequenceId}&per_page=100&page=1`;
  const [, , ...templates] = await Promise.all([
    api.get(`/cadences/${sequenceId}`),
    api.get(stepsPath),
    templateId ? api.get(`/email_templates/${templateId}`) : undefined,
    templateId ? api.get(`/team_templates/${templateId}`) : undefined,
  ]);
  // It is of one kind or the other.
  const content = templates.find((answer) => answer?.data.data)?.data.data;
  await api.post("/cadence_imports", {
    cadence_content: {
      cadence_id: Number(sequenceId),
      step_groups: [
        {
          due_immediately: false,
          ...(content && {
            reference_id: 1,
            automated_settings: { send_type: "after_time_delay", delay_time: 0 },
          }),
          day: 1 + Math.floor((step.intervalSeconds ?? 0) / DAY_SECONDS),
          automated: Boolean(content),
          steps: [
            {
              enabled: true,
              name: content?.title ?? "Call",
              type: SALESLOFT_TYPES[step.type],
              type_settings: content
                ? {
                    email_template: {
                      title: content.title,
                      subject: content.subject,
                      body: content.body,
                    },
                  }
                : { instructions: step.taskNote },
            },
          ],
        },
      ],
    },
  });
  const steps = await api.get(stepsPath);
  return String(steps.data.data.at(-1).id);
};

const apollo: Make = async (api, { sequenceId, step }) => {
  const templateId = step.template?.id;
  const [campaign, template] = await Promise.all([
    api.get(`/emailer_campaigns/${sequenceId}`),
    templateId ? api.get(`/emailer_templates/${templateId}`) : undefined,
  ]);
  const made = await api.post("/emailer_steps", {
    emailer_campaign_id: sequenceId,
    type: TYPES[step.type],
    position: campaign.data.emailer_steps.length + 1,
    wait_time: Math.floor((step.intervalSeconds ?? 0) / DAY_SECONDS),
    wait_mode: "day",
    note: step.taskNote,
  });
  const stepId = made.data.emailer_step.id;
  if (template) {
    const touch = made.data.emailer_touch;
    const content = template.data.emailer_template;
    await api.put(`/emailer_touches/${touch.id}`, {
      id: touch.id,
      emailer_step_id: stepId,
      type: "new_thread",
      emailer_template: {
        id: touch.emailer_template_id,
        subject: content.subject,
        body_html: content.body_html,
      },
    });
  }
  return stepId;
};

const PROVIDERS: Record<string, { api: AxiosInstance; make: Make }> = {
  outreach: {
    api: client("outreach", { accept: JSON_API, "content-type": JSON_API }),
    make: outreach,
  },
  salesloft: {
    api: client("salesloft", { accept: JSON_TYPE, "content-type": JSON_TYPE }),
    make: salesloft,
  },
  apollo: {
    api: client("apollo", {
      accept: JSON_TYPE,
      "content-type": JSON_TYPE,
      "cache-control": "no-cache",
    }),
    make: apollo,
  },
};

const app = express();
app.use(express.json());

app.post("/steps", async (request, response) => {
  const customer = request.get("x-customer-id");
  const provider = PROVIDERS[request.get("x-provider-name") ?? ""];
  if (!customer || !provider) {
    response.status(400).json({ error: "x-customer-id and x-provider-name are required" });
    return;
  }
  response.json({ id: await provider.make(provider.api, request.body) });
});

const server = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
