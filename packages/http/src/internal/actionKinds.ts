// The kinds of actions the specification knows, as it describes them. Source: `cycles-action-kinds-v0.1.26.yaml`,
// `x-action-kind-registry`; a test compares the two.
import type { ActionKind } from "../governance/ActionKinds.ts"

/** Of the registry; raised when kinds are added. */
export const VERSION = "0.1.26"

export const kinds: ReadonlyArray<ActionKind> = [
  {
    kind: "llm.completion",
    risk_class: "side_effect",
    description: "LLM text completion or chat call (may trigger further actions)",
    mcp_tool_prefixes: ["llm_", "chat_", "complete_", "openai_chat", "anthropic_", "generate_text"]
  },
  {
    kind: "llm.embedding",
    risk_class: "read_only",
    description: "Generate embedding vector for text",
    mcp_tool_prefixes: ["embed_", "embedding_", "openai_embed", "get_embedding", "encode_text"]
  },
  {
    kind: "llm.structured_output",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description:
      "LLM call with structured output constraint (JSON schema, function calling, tool use). Distinct from llm.completion for providers that bill differently.",
    mcp_tool_prefixes: ["structured_output", "json_mode", "function_call"]
  },
  {
    kind: "agent.spawn",
    risk_class: "side_effect",
    description:
      "Spawn a child agent or sub-task with its own execution context. Governs fan-out: each spawned agent inherits or derives a budget scope.",
    mcp_tool_prefixes: ["spawn_agent", "create_agent", "fork_agent", "new_agent"]
  },
  {
    kind: "agent.delegate",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description:
      "Delegate a task to a named agent or agent pool. The delegate may execute actions under its own policy scope.",
    mcp_tool_prefixes: ["delegate_", "handoff_", "assign_agent", "route_to_agent"]
  },
  {
    kind: "agent.message",
    risk_class: "side_effect",
    description:
      "Send a message to another agent within the same runtime or cluster. Enables agent-to-agent coordination and protocol exchanges.",
    mcp_tool_prefixes: ["send_to_agent", "agent_message", "a2a_send", "inter_agent"]
  },
  {
    kind: "agent.human_escalation",
    risk_class: "external_side_effect",
    policy_key_spec: { recipient_domain: true },
    description:
      "Escalate a decision or task to a human operator. Externally visible: triggers a notification and blocks until human response.",
    mcp_tool_prefixes: ["escalate_", "human_review", "request_approval", "ask_human"]
  },
  {
    kind: "web.search",
    risk_class: "read_only",
    description: "Web search query (read-only, no side effects)",
    mcp_tool_prefixes: ["search_", "web_search", "search"]
  },
  {
    kind: "http.get",
    risk_class: "read_only",
    policy_key_spec: { host: true },
    description: "HTTP GET to an external endpoint",
    mcp_tool_prefixes: ["http_get", "fetch_url", "get_url"]
  },
  {
    kind: "http.post",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "HTTP POST to an external endpoint",
    mcp_tool_prefixes: ["http_post", "post_url", "call_api", "api_call"]
  },
  {
    kind: "http.put",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "HTTP PUT/PATCH to an external endpoint",
    mcp_tool_prefixes: ["http_put", "http_patch", "update_api"]
  },
  {
    kind: "http.delete",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "HTTP DELETE to an external endpoint",
    mcp_tool_prefixes: ["http_delete", "delete_api"]
  },
  {
    kind: "http.graphql",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description:
      "Execute a GraphQL query or mutation. Classified as side_effect because a single request may contain both reads and writes.",
    mcp_tool_prefixes: ["graphql_", "gql_query", "gql_mutate"]
  },
  {
    kind: "message.email.send",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true, recipient_domain: true },
    description: "Send an email to one or more recipients",
    mcp_tool_prefixes: ["send_email", "email_", "smtp_", "sendgrid_"]
  },
  {
    kind: "message.slack.post",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "Post a message to a Slack channel or user",
    mcp_tool_prefixes: ["slack_", "post_slack", "send_slack"]
  },
  {
    kind: "message.sms.send",
    risk_class: "external_side_effect",
    policy_key_spec: { recipient_domain: true },
    description: "Send an SMS message",
    mcp_tool_prefixes: ["send_sms", "sms_", "twilio_"]
  },
  {
    kind: "message.chat.post",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "Post a message to a chat platform (Teams, Discord, Mattermost, etc.). Use message.slack.post for Slack-specific routing; use this for other platforms.",
    mcp_tool_prefixes: ["teams_", "discord_", "mattermost_", "chat_send", "post_message"]
  },
  {
    kind: "db.query",
    risk_class: "read_only",
    policy_key_spec: { resource_type: "table" },
    description: "Read-only database query (SELECT)",
    mcp_tool_prefixes: ["db_query", "query_db", "sql_query", "select_"]
  },
  {
    kind: "db.write",
    risk_class: "side_effect",
    policy_key_spec: { resource_type: "table" },
    description: "Database write (INSERT, UPDATE, DELETE, UPSERT)",
    mcp_tool_prefixes: ["db_write", "db_insert", "db_update", "db_delete", "sql_write"]
  },
  {
    kind: "db.schema_change",
    risk_class: "high_risk",
    policy_key_spec: { resource_type: "table" },
    description: "Database schema modification (DDL: CREATE, ALTER, DROP)",
    mcp_tool_prefixes: ["db_migrate", "alter_table", "create_table", "drop_table"]
  },
  {
    kind: "crm.record.read",
    risk_class: "read_only",
    policy_key_spec: { resource_type: "object_type" },
    description: "Read a CRM record",
    mcp_tool_prefixes: ["get_contact", "get_lead", "crm_read", "salesforce_get"]
  },
  {
    kind: "crm.record.write",
    risk_class: "side_effect",
    policy_key_spec: { resource_type: "object_type" },
    description: "Create or update a CRM record",
    mcp_tool_prefixes: ["create_contact", "update_contact", "crm_write", "salesforce_create"]
  },
  {
    kind: "crm.record.delete",
    risk_class: "external_side_effect",
    policy_key_spec: { resource_type: "object_type" },
    description: "Delete a CRM record (typically irreversible)",
    mcp_tool_prefixes: ["delete_contact", "crm_delete", "salesforce_delete"]
  },
  {
    kind: "file.read",
    risk_class: "read_only",
    policy_key_spec: { path_prefix: true },
    description: "Read a file from local or shared storage",
    mcp_tool_prefixes: ["read_file", "file_read", "get_file", "open_file"]
  },
  {
    kind: "file.write",
    risk_class: "local_mutation",
    policy_key_spec: { path_prefix: true },
    description: "Write or create a file in local or shared storage",
    mcp_tool_prefixes: ["write_file", "file_write", "create_file", "save_file"]
  },
  {
    kind: "file.delete",
    risk_class: "side_effect",
    policy_key_spec: { path_prefix: true },
    description: "Delete a file from storage",
    mcp_tool_prefixes: ["delete_file", "file_delete", "remove_file"]
  },
  {
    kind: "code.exec",
    risk_class: "high_risk",
    policy_key_spec: { path_prefix: true },
    description: "Execute arbitrary code in a sandbox or interpreter",
    mcp_tool_prefixes: ["exec_", "run_code", "python_exec", "bash_exec", "js_exec"]
  },
  {
    kind: "code.deploy",
    risk_class: "high_risk",
    policy_key_spec: { host: true },
    description: "Deploy code to a runtime environment",
    mcp_tool_prefixes: ["deploy_", "code_publish", "vercel_deploy", "lambda_deploy"]
  },
  {
    kind: "code.lint",
    risk_class: "read_only",
    policy_key_spec: { path_prefix: true },
    description:
      "Run static analysis, linting, or type-checking on code. Read-only inspection with no state modification.",
    mcp_tool_prefixes: ["lint_", "check_code", "type_check", "static_analysis"]
  },
  {
    kind: "vector.query",
    risk_class: "read_only",
    policy_key_spec: { resource_type: "collection" },
    description: "Vector similarity search (read-only)",
    mcp_tool_prefixes: ["vector_search", "similarity_search", "pinecone_query"]
  },
  {
    kind: "vector.upsert",
    risk_class: "side_effect",
    policy_key_spec: { resource_type: "collection" },
    description: "Insert or update vectors in a vector store",
    mcp_tool_prefixes: ["vector_upsert", "embed_and_store", "pinecone_upsert"]
  },
  {
    kind: "vector.delete",
    risk_class: "side_effect",
    policy_key_spec: { resource_type: "collection" },
    description: "Delete vectors or documents from a vector store. Irreversible data loss for the affected embeddings.",
    mcp_tool_prefixes: ["vector_delete", "pinecone_delete", "remove_embedding", "delete_vectors"]
  },
  {
    kind: "memory.read",
    risk_class: "read_only",
    policy_key_spec: { resource_type: "store" },
    description:
      "Read from agent long-term memory, knowledge base, or RAG retrieval store. Includes semantic search over memory.",
    mcp_tool_prefixes: ["memory_read", "recall_", "retrieve_memory", "rag_query", "knowledge_search"]
  },
  {
    kind: "memory.write",
    risk_class: "local_mutation",
    policy_key_spec: { resource_type: "store" },
    description:
      "Write to agent long-term memory or knowledge base. Includes storing conversation summaries, facts, or documents for future retrieval.",
    mcp_tool_prefixes: ["memory_write", "memorize_", "store_memory", "rag_ingest", "knowledge_store"]
  },
  {
    kind: "memory.delete",
    risk_class: "side_effect",
    policy_key_spec: { resource_type: "store" },
    description:
      "Delete entries from agent long-term memory or knowledge base. Irreversible data loss without backups.",
    mcp_tool_prefixes: ["memory_delete", "forget_", "clear_memory", "rag_delete"]
  },
  {
    kind: "reasoning.plan",
    risk_class: "side_effect",
    description:
      "Generate or revise an execution plan. Typically involves LLM calls to decompose a goal into steps. Operators can quota to cap runaway planning loops.",
    mcp_tool_prefixes: ["plan_", "create_plan", "decompose_", "reason_"]
  },
  {
    kind: "reasoning.reflect",
    risk_class: "side_effect",
    description:
      "Self-evaluation or critique loop where the agent reviews its own output. Consumes LLM calls; operators can quota to prevent infinite self-correction.",
    mcp_tool_prefixes: ["reflect_", "self_evaluate", "critique_", "review_output"]
  },
  {
    kind: "calendar.read",
    risk_class: "read_only",
    policy_key_spec: { host: true },
    description: "Read calendar events or availability",
    mcp_tool_prefixes: ["get_calendar", "list_events", "check_availability"]
  },
  {
    kind: "calendar.write",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "Create or modify calendar events",
    mcp_tool_prefixes: ["create_event", "update_event", "schedule_meeting"]
  },
  {
    kind: "payment.charge",
    risk_class: "high_risk",
    policy_key_spec: { host: true },
    description: "Initiate a payment charge or transaction",
    mcp_tool_prefixes: ["charge_", "payment_", "stripe_charge", "process_payment"]
  },
  {
    kind: "payment.refund",
    risk_class: "high_risk",
    policy_key_spec: { host: true },
    description: "Issue a payment refund",
    mcp_tool_prefixes: ["refund_", "issue_refund", "stripe_refund"]
  },
  {
    kind: "image.generate",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "AI image generation from a text prompt or reference image. Billed on submit regardless of downstream use. Examples: DALL-E, Stable Diffusion, Midjourney, Imagen.",
    mcp_tool_prefixes: ["generate_image", "create_image", "dalle_", "image_gen", "text_to_image"]
  },
  {
    kind: "image.edit",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "AI-assisted image editing, inpainting, or outpainting.",
    mcp_tool_prefixes: ["edit_image", "inpaint_", "outpaint_", "image_edit"]
  },
  {
    kind: "video.generate",
    risk_class: "high_risk",
    policy_key_spec: { host: true },
    description:
      "AI video generation. high_risk: expensive (large billing events), long-running (minutes to hours), irreversible output. Examples: Sora, RunwayML, Pika.",
    mcp_tool_prefixes: ["generate_video", "create_video", "text_to_video", "runway_"]
  },
  {
    kind: "video.transcode",
    risk_class: "side_effect",
    policy_key_spec: { host: true, path_prefix: true },
    description: "Transcode or re-encode an existing video file.",
    mcp_tool_prefixes: ["transcode_", "encode_video", "ffmpeg_"]
  },
  {
    kind: "audio.generate",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "AI audio generation: text-to-speech, voice cloning, or music generation. Examples: ElevenLabs, OpenAI TTS, Suno.",
    mcp_tool_prefixes: ["generate_audio", "text_to_speech", "tts_", "elevenlabs_"]
  },
  {
    kind: "audio.transcribe",
    risk_class: "read_only",
    policy_key_spec: { host: true },
    description: "Transcribe audio or video to text. Source audio is not modified. Examples: Whisper, Deepgram.",
    mcp_tool_prefixes: ["transcribe_", "speech_to_text", "whisper_", "deepgram_"]
  },
  {
    kind: "vision.analyze",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description:
      "Analyze an image using a vision model. Includes scene description, object detection, visual question answering, and chart interpretation.",
    mcp_tool_prefixes: ["analyze_image", "vision_", "describe_image", "image_understand", "gpt4v_"]
  },
  {
    kind: "vision.ocr",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description:
      "Extract text from images or scanned documents via OCR. May use specialized OCR services or vision LLMs.",
    mcp_tool_prefixes: ["ocr_", "extract_text", "read_document", "document_ocr"]
  },
  {
    kind: "vision.parse_document",
    risk_class: "side_effect",
    policy_key_spec: { host: true, path_prefix: true },
    description:
      "Parse a document (PDF, scan, form) into structured data. Includes table extraction, form field recognition, and layout analysis.",
    mcp_tool_prefixes: ["parse_document", "extract_form", "pdf_extract", "document_parse", "parse_pdf"]
  },
  {
    kind: "social.post.create",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "Publish a post to a social platform or public-facing channel. Irreversible once visible. Examples: Twitter/X, LinkedIn, Reddit.",
    mcp_tool_prefixes: ["post_tweet", "create_post", "publish_", "tweet_", "linkedin_post"]
  },
  {
    kind: "social.post.delete",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description: "Delete a previously published post. Irreversible and externally visible.",
    mcp_tool_prefixes: ["delete_post", "delete_tweet", "remove_post"]
  },
  {
    kind: "social.dm.send",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true, recipient_domain: true },
    description:
      "Send a direct message on a social platform. Not public, but still an external irreversible communication.",
    mcp_tool_prefixes: ["send_dm", "send_message", "dm_", "direct_message"]
  },
  {
    kind: "notification.push.send",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "Send a push notification to a mobile device or browser. High-volume sends have reputational impact. Examples: FCM, APNs.",
    mcp_tool_prefixes: ["send_push", "push_notification", "fcm_", "apns_", "notify_"]
  },
  {
    kind: "notification.webhook.trigger",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true },
    description:
      "Trigger an outbound webhook to a pre-configured endpoint. Distinct from http.post: target is registered, not ad-hoc.",
    mcp_tool_prefixes: ["trigger_webhook", "send_webhook", "webhook_notify"]
  },
  {
    kind: "storage.upload",
    risk_class: "side_effect",
    policy_key_spec: { host: true, path_prefix: true },
    description: "Upload a file or object to cloud storage (S3, GCS, Azure Blob).",
    mcp_tool_prefixes: ["upload_file", "s3_put", "gcs_upload", "blob_upload"]
  },
  {
    kind: "storage.download",
    risk_class: "read_only",
    policy_key_spec: { host: true, path_prefix: true },
    description: "Download a file or object from cloud storage. May incur egress costs.",
    mcp_tool_prefixes: ["download_file", "s3_get", "gcs_download", "blob_download"]
  },
  {
    kind: "storage.delete",
    risk_class: "side_effect",
    policy_key_spec: { host: true, path_prefix: true },
    description: "Delete an object from cloud storage. Irreversible without versioning.",
    mcp_tool_prefixes: ["delete_object", "s3_delete", "gcs_delete", "blob_delete"]
  },
  {
    kind: "document.create",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description: "Create a document, spreadsheet, or page in a workspace tool.",
    mcp_tool_prefixes: ["create_doc", "create_document", "new_page", "notion_create"]
  },
  {
    kind: "document.edit",
    risk_class: "side_effect",
    policy_key_spec: { host: true },
    description: "Edit or update an existing document, spreadsheet, or page in a workspace tool.",
    mcp_tool_prefixes: ["edit_doc", "update_document", "modify_page", "notion_update", "gdocs_edit"]
  },
  {
    kind: "document.share",
    risk_class: "external_side_effect",
    policy_key_spec: { host: true, recipient_domain: true },
    description:
      "Share a document with external users or make it publicly accessible. external_side_effect because it grants access to third parties and the permission change is immediately visible outside the system.",
    mcp_tool_prefixes: ["share_doc", "share_document", "grant_access", "set_permissions"]
  },
  {
    kind: "unknown.call",
    risk_class: "side_effect",
    description:
      "Fallback for MCP tool calls that cannot be normalized to a registered kind. risk_class=side_effect is conservative and safe. Operators SHOULD configure policies for specific kinds rather than relying on this fallback.",
    mcp_tool_prefixes: []
  }
]
